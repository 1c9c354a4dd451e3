"""What can go wrong for a participant, each with a message that says what to do."""

from rtes.common.refusals import Code, explain


class RtesError(Exception):
    """Anything the SDK raises."""


class NotConnected(RtesError):  # noqa: N818 - a state, as a trader would say it
    """The exchange does not answer at all."""


class TimedOut(RtesError):  # noqa: N818
    """The exchange answered before, but not this within the time given."""


class Rejected(RtesError):  # noqa: N818
    """The exchange refused a request; code, limit and value are the catalogue's."""

    def __init__(self, code: int, limit: int = 0, value: int = 0, text: str = "") -> None:
        self.code = Code(code) if code in Code.__members__.values() else code
        self.limit = limit
        self.value = value
        name = self.code.name if isinstance(self.code, Code) else str(code)
        super().__init__(f"{name}: {text or explain(code, limit, value)}")
