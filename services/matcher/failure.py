"""What ends a matcher: the engine raised. A class that derives from an exception cannot be
compiled, so it lives apart from the core, which can."""

from rtes.common.records import Command


class CommandFailedError(RuntimeError):
    """The engine raised; command is what it was executing."""

    def __init__(self, command: Command) -> None:
        super().__init__(f"cannot execute {command}")
        self.command = command
