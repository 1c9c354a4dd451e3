"""The watchdog ends what no longer beats, and nothing else."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rtes.common.heartbeat import Beat, Heartbeat, beats
from rtes.control.watchdog import end_stale

BEATING = """
import sys, time
from pathlib import Path
from rtes.common.heartbeat import Heartbeat
beat = Heartbeat(Path(sys.argv[1]), 0.5)
print("beats", flush=True)
while True:
    time.sleep(0.05)
    beat()
"""


def beating(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", BEATING, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "beats\n"
    return process


def test_a_stopped_process_is_ended_and_a_beating_one_is_not(tmp_path: Path) -> None:
    with beating(tmp_path / "stopped") as stopped, beating(tmp_path / "well") as well:
        try:
            stopped.send_signal(signal.SIGSTOP)
            deadline = time.monotonic() + 20
            ended: list[Beat] = []
            while not ended:
                assert time.monotonic() < deadline
                ended = end_stale(tmp_path)
                time.sleep(0.05)
            assert [(b.name, b.pid) for b in ended] == [("stopped", stopped.pid)]
            assert stopped.wait(10) == -signal.SIGKILL
            assert well.poll() is None
            assert end_stale(tmp_path) == []  # it is gone, its file is not
        finally:
            for process in (stopped, well):
                process.kill()


def test_a_number_that_now_is_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    """As in a container that starts again: it may even be one of ours."""
    with beating(tmp_path / "another") as stranger:
        try:
            (tmp_path / "gone").write_text(f"{stranger.pid:010d} {1:020d} {1:020d} {1:015d}\n")
            assert end_stale(tmp_path) == []
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_beat_replaces_the_one_before(tmp_path: Path) -> None:
    beat = Heartbeat(tmp_path / "x", 60)
    beat()
    (found,) = beats(tmp_path)
    assert (found.pid, found.stale) == (os.getpid(), False)
