"""What a service asks of the kernel for its own process: to die with its parent, and its cores.

Both come before any thread is made, since threads inherit affinity from the one that makes them.
"""

import ctypes
import os
import signal
from collections.abc import Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


class CoreError(ValueError):
    """The configuration names a core that this process cannot have."""


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies. It survives exec."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def check_cores(cores: Sequence[int], setting: str) -> None:
    """Raises CoreError when this process may not use one of them; setting names the field."""
    available = os.sched_getaffinity(0)
    missing = [core for core in cores if core not in available]
    if missing:
        raise CoreError(
            f"{setting} = {list(cores)}: core {missing[0]} does not exist here; "
            f"this process may use {sorted(available)}"
        )


def pin(cores: Sequence[int], setting: str) -> None:
    """Run on these cores only; empty: leave it to the kernel. Raises CoreError."""
    check_cores(cores, setting)
    if cores:
        os.sched_setaffinity(0, cores)
