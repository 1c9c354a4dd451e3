"""What a class tells mypyc of itself; to plain Python it means nothing.

acyclic: no cycle keeps its objects alive, so the garbage collector need not know them. Of objects
that stand and fall with their process that may be said, too.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_marks):
        return lambda cls: cls


__all__ = ["mypyc_attr"]
