"""Between a participant and the gateway: loss, delay, doubled and overtaking packets, partitions,
and a gateway that is killed while nobody can reach it. Nothing is lost and nobody gets stuck.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtes.client.testing import Mesh

from tests.chaos.checker import Findings, check_diary, check_order
from tests.chaos.network import Weather, Wire
from tests.chaos.trader import Diary
from tests.meshes import audit, told, wait_for

pytestmark = pytest.mark.mesh
ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "DEMO1"
STORM = Weather(loss=0.05, double=0.01, delay_s=0.05, jitter_s=0.02)


@pytest.fixture
def wire() -> Iterator[Wire]:
    if os.getuid() != 0 or shutil.which("ip") is None or not Path("/dev/net/tun").exists():
        pytest.skip("needs root, iproute2 and /dev/net/tun")
    with Wire(seed=1) as wire:
        yield wire


def lines(directory: Path) -> int:
    return (directory / f"{ACCOUNT}.told").read_bytes().count(b"\n")


def goes_on(directory: Path) -> None:
    before = lines(directory)
    wait_for(lambda: lines(directory) > before + 20)


def bad_weather(wire: Wire, mesh: Mesh, directory: Path) -> None:
    goes_on(directory)
    wire.weather = STORM
    goes_on(directory)
    dropped = wire.dropped
    wait_for(lambda: wire.dropped > dropped + 10)
    for kill in (False, True):
        wire.weather = Weather(cut=True)
        time.sleep(0.2)
        before = lines(directory)
        if kill:
            mesh.restart("gateway")
        time.sleep(3)
        assert lines(directory) == before, "told through a cut"
        wire.weather = STORM
        goes_on(directory)
    wire.weather = Weather()
    goes_on(directory)


def test_a_bad_network(wire: Wire, tmp_path: Path) -> None:
    with Mesh(tmp_path, exchange={"host": wire.near}) as mesh:
        program = (sys.executable, "-m", "tests.chaos.trader", str(mesh.config_file), ACCOUNT)
        with subprocess.Popen(
            wire.command(*program, "1", str(tmp_path)),
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as trader:  # fmt: skip
            assert trader.stdin is not None
            assert trader.stdout is not None
            wait_for((tmp_path / f"{ACCOUNT}.told").exists)
            bad_weather(wire, mesh, tmp_path)
            print(file=trader.stdin, flush=True)
            assert trader.stdout.readline() == "settled\n"
            journal = told(mesh)[ACCOUNT]
            print(len(journal), file=trader.stdin, flush=True)
            assert trader.wait(60) == 0
        found = Findings()
        check_diary(found, ACCOUNT, Diary(tmp_path / f"{ACCOUNT}.told"), journal)
        check_order(found, ACCOUNT, journal)
        assert found.texts == []
        audit(mesh)
