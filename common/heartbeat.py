"""A sign of life in a file, for the watchdog: pid, when that process started, monotonic time of the
beat, how long it counts.

A process that was stopped or hangs does not exit, so supervisord would leave it; its file tells.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from rtes.common.process import started

COUNTS_S: Final = 5.0  # ten reports to health
PATIENT_S: Final = 60.0  # for replicas: they yield to orders, and snapshots take long


class Beat(NamedTuple):
    """The last one of a process; stale when it counts no more."""

    name: str
    pid: int
    stale: bool


class Heartbeat:
    """Call it at least every COUNTS_S."""

    def __init__(self, path: Path, counts_s: float = COUNTS_S) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._counts_ns = int(counts_s * 1e9)
        self._pid = os.getpid()
        self._started = started(self._pid)
        self()

    def __call__(self) -> None:
        times = self._started, time.monotonic_ns(), self._counts_ns
        os.pwrite(self._fd, b"%010d %020d %020d %015d\n" % (self._pid, *times), 0)


def beats(directory: Path) -> Iterator[Beat]:
    """Of every process that left one here and still lives."""
    for path in sorted(directory.glob("*")):
        fields = path.read_text().split()
        if len(fields) == 4:
            pid, began, at_ns, counts_ns = (int(f) for f in fields)
            if started(pid) == began:  # else its number is used again
                yield Beat(path.name, pid, time.monotonic_ns() - at_ns > counts_ns)
