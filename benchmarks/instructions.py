"""Instructions that each core spends on an order, counted by callgrind.

However busy the machine is, the same code on the same load counts the same to a thousandth. Only
for compiled cores: it is in functions of the extension modules that is counted.
"""

import os
import re
import shutil
import subprocess
import sys
from typing import Final

from rtes.common import compiled

COUNTED: Final = ("receive", "flush")
CLASSES: Final = {
    "gateway": "gateway___core___GatewayCore",
    "risk": "risk___core___RiskCore",
    "matcher": "matcher___core___MatcherCore",
}
_COLLECTED: Final = re.compile(r"Collected : (\d+)")
_DRIVE: Final = "from rtes.benchmarks.cores import measure; measure({}, {}, {})"


def missing() -> str:
    """What keeps this from counting, or nothing."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    return "" if compiled.compiled() else "the cores are not compiled: make compile"


def count(core: str, per_frame: int, requests: int, seed: int) -> float:
    """Of one core, for each of the requests after those that benchmarks.cores warms up with."""
    twice = _collected(core, per_frame, 2 * requests, seed)
    return (twice - _collected(core, per_frame, requests, seed)) / requests


def _collected(core: str, per_frame: int, requests: int, seed: int) -> int:
    """Of a whole run. PYTHONHASHSEED: another order in dictionaries would count differently."""
    toggles = [f"--toggle-collect=CPyPy_{CLASSES[core]}___{name}" for name in COUNTED]
    script = _DRIVE.format(per_frame, requests, seed)
    done = subprocess.run(
        [
            "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *toggles,
            sys.executable, "-c", script,
        ],
        env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = _COLLECTED.search(done.stderr)
    assert found is not None, done.stderr
    return int(found[1])
