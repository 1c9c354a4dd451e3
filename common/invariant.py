"""Broken invariants stop the process, also under python -O."""


class InvariantError(AssertionError):
    """The program is wrong; nothing it would do next can be trusted."""


def invariant(condition: object, message: str) -> None:
    """Raise InvariantError with message unless condition holds."""
    if not condition:
        raise InvariantError(message)
