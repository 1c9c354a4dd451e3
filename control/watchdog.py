"""Ends processes that live but no longer answer: `python -m rtes.control.watchdog` of supervisord.

supervisord restarts what exits; what was stopped (SIGSTOP) or hangs does not exit. Each service
leaves a heartbeat; when it is stale its process is killed, and supervisord starts it again.
"""

import contextlib
import os
import select
import signal
import sys
from pathlib import Path
from typing import Final

from rtes.common import logs
from rtes.common.config import load
from rtes.common.heartbeat import Beat, beats
from rtes.common.paths import Paths
from rtes.common.process import die_with_parent

LOOK_S: Final = 1.0


def end_stale(directory: Path) -> list[Beat]:
    """Kill what no longer beats; returns whom."""
    ended = []
    for beat in beats(directory):
        if beat.stale:
            with contextlib.suppress(ProcessLookupError):
                os.kill(beat.pid, signal.SIGKILL)
                ended.append(beat)
    return ended


def _read_event(buffer: bytes) -> bytes:
    """Take one event of supervisord off the buffer, if all of it is there."""
    header, newline, rest = buffer.partition(b"\n")
    if not newline:
        return buffer
    length = int(dict(f.split(b":") for f in header.split())[b"len"])
    if len(rest) < length:
        return buffer
    sys.stdout.write("RESULT 2\nOKREADY\n")
    sys.stdout.flush()
    return rest[length:]


def main() -> None:
    """Until supervisord closes our input."""
    die_with_parent()
    config = load(os.environ.get("RTES_ENVIRONMENT", "dev"))
    logs.start(config.environment, config.security.log_level, service="watchdog")
    directory = Paths(config).beats_dir
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    buffer = b""
    while True:
        readable, _, _ = select.select([0], [], [], LOOK_S)
        if readable:
            data = os.read(0, 65_536)
            if not data:
                return
            buffer = _read_event(buffer + data)
        for beat in end_stale(directory):
            logs.get().error("killed: it no longer beats", name=beat.name, pid=beat.pid)


if __name__ == "__main__":
    main()
