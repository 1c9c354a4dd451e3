"""The emergency by hand, on an exchange without health and supervisord: it stops orders and
never a cancel, it is latched, it works when its record cannot be written, and it is written down
when that can be.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtes.client import Client, Rejected
from rtes.client.testing import Mesh
from rtes.common.enums import OrdStatus
from rtes.common.refusals import Code
from rtes.control.audit import AuditLog
from rtes.services.health import machine
from rtes.services.health.shell import Aggregator

from tests.aggregators import Ahead, poll_until
from tests.meshes import connect, settle

pytestmark = pytest.mark.mesh
RTES = Path(sys.executable).parent / "rtes"


@pytest.fixture(autouse=True)
def _resumed(mesh: Mesh) -> Iterator[None]:
    """Every test leaves an exchange that trades."""
    yield
    assert emergency(mesh, "resume").returncode == 0


def emergency(mesh: Mesh, stage: str, reason: str = "a test") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RTES, "emergency", stage, "--reason", reason, "--profile", mesh.config_file, "--json"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def refused(client: Client, symbol: str = "AAPL", price: int = 58_000) -> bool:
    """Whether an order is refused for the halt; any other refusal is raised."""
    try:
        order = client.buy(symbol, 1, price)
    except Rejected as error:
        if error.code != Code.INSTRUMENT_HALTED:
            raise
        return True
    client.cancel(order)
    return False


def test_cancel_only_is_latched_until_it_is_lifted(mesh: Mesh) -> None:
    with connect(mesh, "DEMO1") as client:
        order = client.buy("AAPL", 1, 58_000)
        done = emergency(mesh, "cancel-only")
        assert done.returncode == 0, done.stderr
        assert refused(client)
        assert refused(client, "MSFT", 3_000)
        client.cancel(order)
        assert order.status is OrdStatus.CANCELED
    for service in ("matcher", "risk", "gateway"):
        mesh.restart(service)
    mesh.wait_ready()
    with connect(mesh, "DEMO1") as client:
        assert refused(client)
        assert json.loads(emergency(mesh, "resume").stdout)["stage"] == "resume"
        assert not refused(client)
    records = list(AuditLog(mesh.paths).records())
    assert [(r["action"], r["reason"]) for r in records[-2:]] == [
        ("emergency cancel-only", "a test"),
        ("emergency resume", "a test"),
    ]


def test_mass_cancel_leaves_no_order(mesh: Mesh) -> None:
    with connect(mesh, "DEMO1") as one, connect(mesh, "DEMO2") as two:
        terms = (("AAPL", 58_000), ("MSFT", 3_000))
        orders = [c.buy(s, 1, p) for c in (one, two) for s, p in terms]
        assert json.loads(emergency(mesh, "mass-cancel").stdout)["canceled"] == 4
        settle(one)
        for client in (one, two):
            client.poll(1.0)
        assert {o.status for o in orders} == {OrdStatus.CANCELED}
        assert refused(one)


def test_a_reason_is_asked_for(mesh: Mesh) -> None:
    done = emergency(mesh, "cancel-only", " ")
    assert done.returncode == 2
    assert "--reason" in done.stderr
    with connect(mesh, "DEMO1") as client:
        assert not refused(client)


def test_without_an_audit_log_it_stops_but_does_not_resume(mesh: Mesh) -> None:
    """As on a full disk: the record cannot be written."""
    log = mesh.paths.audit_file
    aside = log.rename(log.with_suffix(".aside"))
    log.mkdir()
    stopped = emergency(mesh, "cancel-only")
    assert stopped.returncode == 0
    assert "without a record" in stopped.stderr
    assert emergency(mesh, "resume").returncode == 1
    with connect(mesh, "DEMO1") as client:
        assert refused(client)
    log.rmdir()
    aside.rename(log)


def test_under_load_no_order_comes_through_after_it_and_no_cancel_is_refused(mesh: Mesh) -> None:
    accepted: list[float] = []
    stopped = threading.Event()

    def trade() -> None:
        with connect(mesh, "DEMO1") as client:
            while not stopped.is_set():
                if not refused(client):  # which cancels it, or raises when that is refused
                    accepted.append(time.monotonic())

    trader = threading.Thread(target=trade)
    trader.start()
    time.sleep(1.0)
    assert emergency(mesh, "cancel-only").returncode == 0
    told = time.monotonic()
    time.sleep(1.0)
    stopped.set()
    trader.join(20)
    assert not trader.is_alive()
    assert len(accepted) > 10
    assert max(accepted) < told + 0.5  # what was taken before was also canceled and noted


def test_a_trigger_of_health_stops_a_real_exchange(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control group's memory is full for 30 s, on a clock that runs ahead."""
    monkeypatch.setattr(machine, "memory_ratio", lambda: 0.96)
    clock = Ahead()
    health = Aggregator(mesh.config, [], clock, {})
    health.poll([])
    clock.ahead_ns = 31_000_000_000
    poll_until(health, "emergency_triggers", "high_memory fired")
    with connect(mesh, "DEMO1") as client:
        assert refused(client)
    last = list(AuditLog(mesh.paths).records())[-1]
    assert last["reason"].startswith("high_memory for 3")
