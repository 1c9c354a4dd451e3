"""The root of everything that is an operator's to put right: one line that says what to do."""


class OperatorError(ValueError):
    """The message names what is wrong and what is allowed; it never holds a secret."""
