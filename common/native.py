"""What the sources tell mypyc; to plain Python it means nothing.

acyclic: no cycle keeps a class's objects alive, so the garbage collector need not know them. Of
objects that stand and fall with their process that may be said, too.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_marks):
        return lambda cls: cls


def as_object(number: int) -> Any:
    """A constant that is only passed on. Compiled, a literal is made into an object each time it
    is put into a tuple, which takes as long as five of its other fields."""
    return number


__all__ = ["as_object", "mypyc_attr"]
