"""What a start says, and to whom."""

import os
import subprocess
import sys

WORDS = "from rtes.control.start import say; say('ready'); say('what next'); print('more')"


def test_nobody_reads_what_a_start_says() -> None:
    """`scripts/start.sh | head -1`: the exchange runs, so the start must not count as failed."""
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(
        [sys.executable, "-c", WORDS], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_start_says_it_at_once() -> None:
    run = subprocess.run([sys.executable, "-c", WORDS], capture_output=True, text=True, check=True)
    assert run.stdout == "ready\nwhat next\nmore\n"
