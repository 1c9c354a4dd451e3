"""The wall clock of one process after another jumps, an hour forward, then two hours back, and
stays there while it is killed and started again. Business time never goes back, nobody is stuck.
"""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from rtes.client.testing import Mesh

from tests.chaos.checker import Findings, check_diary, check_order
from tests.chaos.trader import Trader
from tests.meshes import audit, blocks, told, wait_for

pytestmark = pytest.mark.mesh
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


def clock(file: Path) -> dict[str, str]:
    """Variables for a process whose wall clock is off by what the file says, like +1h."""
    file.write_text("+0s")
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def goes_on(trader: Trader) -> None:
    before = trader.reports
    wait_for(lambda: trader.failure != "" or trader.reports > before + 20)
    assert trader.failure == ""


def jump(mesh: Mesh, trader: Trader, service: str) -> None:
    file = mesh.logs / f"{service}.time"
    variables = clock(file)
    mesh.kill(service)
    mesh.start(service, **variables)
    mesh.wait_ready()
    for offset in ("+1h", "-2h"):
        file.write_text(offset)
        goes_on(trader)
        mesh.kill(service)
        mesh.start(service, **variables)
        mesh.wait_ready()
        goes_on(trader)
    starts = [line.split()[0] for line in mesh.log(service).splitlines() if "INFO started" in line]
    real, ahead, behind = [datetime.fromisoformat(s) for s in starts[-3:]]
    assert ahead - real > timedelta(minutes=59), "the library did nothing"
    assert real - behind > timedelta(minutes=118)


@pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime")
def test_clocks_that_jump(tmp_path: Path) -> None:
    with Mesh(tmp_path) as mesh:
        trader = Trader.of(mesh, "DEMO1", 1)
        trader.start()
        for service in ("matcher", "risk", "gateway"):
            jump(mesh, trader, service)
        trader.stopping.set()
        trader.join(60)
        journal = told(mesh)["DEMO1"]
        found = Findings()
        check_diary(found, "DEMO1", trader.end(len(journal)), journal)
        check_order(found, "DEMO1", journal)
        assert found.texts == []
        times = [block.time_ns for block in blocks(mesh)]
        assert times == sorted(set(times))
        audit(mesh)
