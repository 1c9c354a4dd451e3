"""Named points at which a test has this process killed: RTES_FAILPOINT=journal.appended:3.

The third time that the named point is passed, the process ends as by kill -9. Unset, which is
always outside of tests/chaos, a point costs one comparison. `docs/reliability.md` lists them.
"""

import os
import signal
from typing import Final

VARIABLE: Final = "RTES_FAILPOINT"

_name, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = [int(_count or 1)]  # passes until it is the point's turn


def at(name: str) -> None:
    """Die here, when this is the named point's turn."""
    if name == _name:
        _passed()


def due(name: str) -> bool:
    """Is this the point's turn? The caller leaves something half done, then calls die."""
    if name != _name:
        return False
    _left[0] -= 1
    return _left[0] == 0


def die() -> None:
    """As kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def _passed() -> None:
    if due(_name):
        die()
