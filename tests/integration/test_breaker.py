"""The circuit breaker on a real exchange: whoever waits behind it is told at once that it stands
still, cancels pass, and trading goes on by itself when it moves again.
"""

import time
from collections.abc import Iterator

import pytest
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.refusals import Code
from rtes.services.gateway.breaker import OPEN_AFTER_NS, State

from tests.hostile.peers import Peer, order
from tests.meshes import stopped

pytestmark = pytest.mark.mesh
METRIC = "rtes_circuit_breaker_state.risk0-matcher0"
SOON_S = 10.0


@pytest.fixture
def peer(mesh: Mesh) -> Iterator[Peer]:
    with Peer(mesh, "BOT01") as found:
        yield found


def state(mesh: Mesh) -> State:
    mesh.hear(50)
    return State(int(mesh.vitals["gateway"]["gauges"][METRIC]))


def failed(mesh: Mesh) -> float:
    """Orders that were refused because nothing moved: what the error rate counts."""
    counters: dict[str, float] = mesh.vitals["gateway"]["counters"]
    return counters["rtes_orders_total.failed"]


def wait_for(mesh: Mesh, wanted: State) -> None:
    deadline = time.monotonic() + OPEN_AFTER_NS / 1e9 + SOON_S
    while state(mesh) is not wanted:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("service", ["risk", "matcher"])
def test_orders_are_told_at_once_and_cancels_pass(mesh: Mesh, peer: Peer, service: str) -> None:
    last = peer.last_id()
    assert isinstance(peer.ask(order(last + 1)), m.ExecutionReport)
    with stopped(mesh, service):
        peer.send(order(last + 2))  # waits
        wait_for(mesh, State.OPEN)
        failed_before = failed(mesh)
        told = peer.ask(order(last + 3))
        assert isinstance(told, m.BusinessMessageReject)
        assert (told.reject_code, told.limit, told.retry_after_ms) == (Code.BUSY, 0, 500)
        peer.send(m.OrderCancelRequest(last + 4, "AAPL", last + 1))
        peer.send(m.TestRequest("the cancel was taken"))
        assert isinstance(peer.receive(), m.Heartbeat)
        assert mesh.ready("gateway")  # an open breaker makes nothing unready
    reports = [peer.receive() for _ in range(2)]
    assert [r.cl_ord_id for r in reports if isinstance(r, m.ExecutionReport)] == [
        last + 2,
        last + 4,
    ]
    wait_for(mesh, State.CLOSED)
    assert failed(mesh) == failed_before + 1
    report = peer.ask(order(last + 5))
    assert isinstance(report, m.ExecutionReport)
    assert report.cl_ord_id == last + 5


def test_it_closes_by_itself_after_a_crash(mesh: Mesh, peer: Peer) -> None:
    last = peer.last_id()
    mesh.kill("risk")
    peer.send(order(last + 1))
    wait_for(mesh, State.OPEN)
    mesh.start("risk")
    mesh.wait_ready()
    report = peer.receive()
    assert isinstance(report, m.ExecutionReport)
    wait_for(mesh, State.CLOSED)
    assert isinstance(peer.ask(order(last + 2)), m.ExecutionReport)
