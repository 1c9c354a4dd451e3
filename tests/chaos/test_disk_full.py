"""The journal's disk fills up while participants trade: cancels go on, nothing told is lost, and
all resumes by itself when there is room again. The disk is a tmpfs of 8 MiB.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtes.client import Client, Rejected
from rtes.client.testing import HEALTH, Mesh
from rtes.common import messages as m
from rtes.common.enums import OrdType, Side, TimeInForce
from rtes.common.refusals import Code

from tests.chaos.campaign import EVERYTHING
from tests.chaos.checker import Findings, check_diary, check_order
from tests.chaos.trader import Trader
from tests.meshes import audit, connect, told, until, wait_for

pytestmark = pytest.mark.mesh
BATCH = 200
NOT_READY_S = 2.0  # about a second, on a busy machine


def run(*words: str | Path) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "run" / "journal"
    directory.mkdir(parents=True)
    if os.getuid() != 0:
        pytest.skip("only root can mount a small disk")
    if not run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", directory):
        pytest.skip("a tmpfs cannot be mounted here")
    yield directory
    assert run("umount", directory)


def fill(directory: Path) -> Path:
    """Leave no room on the disk; remove the file to have it back."""
    filler = directory / "filler"
    free = os.statvfs(directory)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
    return filler


def orders(client: Client) -> list[m.Inbound]:
    """Many that never trade: they make the journal grow."""
    terms = ("AAPL", Side.BUY, 1, OrdType.LIMIT, 58_000, TimeInForce.IOC)
    return [m.NewOrderSingle(client.next_id(), *terms) for _ in range(BATCH)]


def cancels(client: Client) -> list[m.Inbound]:
    """Of an order that never was: each is refused in a report, and journaled."""
    return [m.OrderCancelRequest(client.next_id(), "AAPL", 1) for _ in range(BATCH)]


def status(mesh: Mesh, path: str) -> int:
    try:
        return mesh.get(path)[0]
    except OSError:
        return 0


def until_refused(client: Client, code: Code) -> None:
    """Send orders until one is refused with this code."""
    refused: list[m.Outbound] = []

    def done() -> bool:
        if client.in_flight < BATCH:
            client.send(orders(client))
        refused.extend(r for r in client.poll(0.01) if getattr(r, "reject_code", 0) == code)
        return bool(refused)

    until(client, done, 30)


def until_nothing_fits(client: Client) -> None:
    """Send cancels until the last block waits for room: then nothing is told any more."""
    told_at = time.monotonic()
    deadline = told_at + 30
    while time.monotonic() - told_at < 1.0:
        assert time.monotonic() < deadline, "the disk never filled up"
        if client.in_flight < BATCH:
            client.send(cancels(client))
        if client.poll(0.01):
            told_at = time.monotonic()
    assert client.in_flight


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    settings = {"segment_mib": 1, "retention": "all", "durability": "always"}
    with Mesh(tmp_path, (*EVERYTHING, HEALTH), journal=settings) as mesh:
        trader = Trader.of(mesh, "DEMO1", 1)
        trader.start()
        with connect(mesh, "DEMO2") as client, connect(mesh, "DEMO3") as other:
            mine = client.buy("AAPL", 1, 57_000)
            filler = fill(small_disk)
            until_refused(other, Code.READ_ONLY)
            began = time.monotonic()
            wait_for(lambda: status(mesh, "/ready") == 503)
            assert time.monotonic() - began < NOT_READY_S
            assert status(mesh, "/live") == 200
            for refused in (
                lambda: client.buy("AAPL", 1, 57_000),
                lambda: client.replace(mine, price=57_001),
            ):
                with pytest.raises(Rejected) as caught:
                    refused()
                assert caught.value.code == Code.READ_ONLY
            client.cancel(mine)
            until_nothing_fits(other)
            assert status(mesh, "/ready") == 503
            filler.unlink()
            until(other, lambda: other.in_flight == 0)
            mesh.wait_ready()
            client.cancel(client.buy("AAPL", 1, 57_000))
        finish(mesh, trader)


def finish(mesh: Mesh, trader: Trader) -> None:
    """What the participant who traded through it all was told is what the journal says."""
    before = trader.reports
    wait_for(lambda: trader.reports > before + 5)
    trader.stopping.set()
    trader.join(60)
    journal = told(mesh)["DEMO1"]
    found = Findings()
    check_diary(found, "DEMO1", trader.end(len(journal)), journal)
    check_order(found, "DEMO1", journal)
    assert found.texts == []
    audit(mesh)
