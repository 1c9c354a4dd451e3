"""What a service asks of the kernel for its own process: to die with its parent, its cores, and
what it has used.

The first two come before any thread is made, since threads inherit affinity from their maker.
"""

import ctypes
import os
import resource
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rtes.common.errors import OperatorError

_PR_SET_PDEATHSIG: Final = 1
_START_FIELD: Final = 18  # of /proc/PID/stat, after name and state
_PAGE_BYTES: Final = resource.getpagesize()


class CoreError(OperatorError):
    """The configuration asks for cores that this process cannot have."""


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies. It survives exec."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def started(pid: int) -> int:
    """When a process began, in ticks since the machine did; -1 when it does not live. Its number
    may be another's one day, but never with the same beginning."""
    try:
        state, *after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if state == "Z" else int(after[_START_FIELD])


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


def pin_thread(cores: Sequence[int]) -> None:
    """Run on these cores only, this thread alone; those that it makes later have them, too."""
    os.sched_setaffinity(0, cores)


def yield_to_all() -> None:
    """Run only when nothing else wants the core (SCHED_IDLE), in this thread and those it makes.

    Unlike the lowest priority, it gives way at once to whoever wakes up, and the kernel places
    wake-ups on its core as on an idle one. It is not idle, though: only a core with nothing at all
    to do takes over what waits for another, so who yields works in short turns and rests."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def usage() -> tuple[float, int]:
    """CPU time of this process in seconds, and its resident memory in bytes."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm", "rb") as file:
        pages = int(file.read().split()[1])
    return spent.ru_utime + spent.ru_stime, pages * _PAGE_BYTES
