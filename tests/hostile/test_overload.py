"""Too much: told at once at the edge, cancels keep a reserve, nothing grows."""

import time
from collections.abc import Iterator

import pytest
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.enums import MassCancelType
from rtes.common.refusals import Code, explain
from rtes.services.gateway.limits import GatewayLimits

from tests.hostile.edge import Edge, S
from tests.hostile.peers import PX, Peer, order, still_trades
from tests.meshes import connect, settle, stopped

pytestmark = pytest.mark.mesh
CREDIT = 50
PER_S = 2_000
WINDOW = 200  # of the lanes of Edge


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    session = {"credit": CREDIT, "messages_per_s_max": PER_S}
    with Mesh(tmp_path_factory.mktemp("mesh"), session=session) as running:
        yield running


@pytest.fixture
def peer(mesh: Mesh, request: pytest.FixtureRequest) -> Iterator[Peer]:
    """An account for each test."""
    tests = [n for n in globals() if n.startswith("test_")]
    with Peer(mesh, f"BOT{tests.index(request.function.__name__) + 1:02}") as found:
        yield found


def busy(reply: m.Outbound) -> m.BusinessMessageReject:
    assert isinstance(reply, m.BusinessMessageReject), reply
    assert reply.retry_after_ms > 0
    return reply


@pytest.mark.parametrize("service", ["risk", "matcher"])
def test_full_is_told_by_the_gateway_alone_and_cancels_have_a_reserve(
    mesh: Mesh, peer: Peer, service: str
) -> None:
    """Whoever is behind it does not run at all; what was taken is answered later."""
    last = peer.last_id()
    with stopped(mesh, service):
        peer.send([order(last + 1 + i) for i in range(CREDIT + 5)])
        refusals = [busy(peer.receive()) for _ in range(5)]
        assert [r.cl_ord_id for r in refusals] == [last + CREDIT + 1 + i for i in range(5)]
        assert {(r.reject_code, r.limit, r.value) for r in refusals} == {
            (Code.BUSY, CREDIT, CREDIT)
        }
        first = last + CREDIT + 6
        peer.send([m.OrderCancelRequest(first + i, "AAPL", last + 1 + i) for i in range(CREDIT)])
        peer.send(m.TestRequest("all cancels were taken"))
        assert isinstance(peer.receive(), m.Heartbeat)
        over = m.OrderCancelRequest(first + CREDIT, "AAPL", last + 1)
        assert busy(peer.ask(over)).value == 2 * CREDIT
    reports = [peer.receive() for _ in range(2 * CREDIT)]
    assert all(isinstance(r, m.ExecutionReport) for r in reports)
    assert isinstance(
        peer.ask(m.OrderMassStatusRequest(first + 2 * CREDIT)), m.OrderMassStatusReport
    )


def test_an_id_that_was_busy_is_spent(mesh: Mesh, peer: Peer) -> None:
    """As docs/protocol.md says: used later, it is out of order, and it never executes."""
    last = peer.last_id()
    with stopped(mesh, "risk"):
        peer.send([order(last + 1 + i) for i in range(CREDIT + 1)])
        refused = busy(peer.receive()).cl_ord_id
    reports = [peer.receive() for _ in range(CREDIT)]
    assert all(isinstance(r, m.ExecutionReport) for r in reports)
    assert isinstance(peer.ask(order(refused + 1)), m.ExecutionReport)
    again = peer.ask(order(refused))
    assert isinstance(again, m.ExecutionReport)
    assert (again.reject_code, again.limit, again.value) == (
        Code.OUT_OF_ORDER, refused + 1, refused,
    )  # fmt: skip
    peer.send(m.OrderMassCancelRequest(refused + 2, MassCancelType.ALL))
    report = peer.until(m.OrderMassCancelReport)[-1]
    assert isinstance(report, m.OrderMassCancelReport)
    assert report.total_affected_orders == CREDIT + 1


def test_the_sdk_forgets_what_was_busy_and_goes_on_with_new_ids(mesh: Mesh) -> None:
    with connect(mesh, "DEMO1") as client:
        with stopped(mesh, "risk"):
            orders = [client.buy("AAPL", 1, PX - 9, wait=False) for _ in range(CREDIT + 3)]
            told: list[m.Outbound] = []
            while len(told) < 3:
                told += client.poll(1)
            assert [busy(t).cl_ord_id for t in told] == [o.cl_ord_id for o in orders[CREDIT:]]
            assert client.in_flight == CREDIT
        settle(client)
        assert {o.cl_ord_id for o in client.open_orders} == {o.cl_ord_id for o in orders[:CREDIT]}
        assert client.buy("AAPL", 1, PX - 9).cl_ord_id == orders[-1].cl_ord_id + 1
        assert client.cancel_all() == CREDIT + 1


def test_a_lane_keeps_a_tenth_for_cancels() -> None:
    """Three sessions fill it while nobody takes from it."""
    edge = Edge()
    for name in ("ANN", "BOB", "CAT"):
        edge.logon(name)
    edge.stopped = True
    codes = []
    for name in ("ANN", "BOB", "CAT"):
        told = edge.ask(name, [order(i) for i in range(1, 91)])
        codes += [busy(t).reject_code for t in told]
    assert codes == [Code.BUSY] * (270 - WINDOW * 9 // 10)
    cancels = [m.OrderCancelRequest(100 + i, "AAPL", 1 + i) for i in range(30)]
    told = edge.ask("CAT", cancels)
    assert len(told) == 30 - WINDOW // 10
    assert {(busy(t).limit, busy(t).value) for t in told} == {(WINDOW, WINDOW)}
    edge.told.clear()
    edge.go_on()
    assert sum(map(len, edge.told.values())) == WINDOW


def test_logons_cannot_fill_a_lane_either() -> None:
    """Again and again on one connection, on new ones, or logging out in between."""
    edge = Edge()
    edge.logon("ANN")
    edge.stopped = True
    for i in range(3_000):
        edge.now_ns += S // 100
        edge.ask("ANN", m.Logon("ANN"))
        edge.send(b"new %d" % i, "key of BOB", [m.Logon("BOB"), m.Logout()])
        edge.send(b"other %d" % i, "key of CAT", m.Logon("CAT"))
    gauges = edge.gateway.vitals().gauges
    assert gauges["rtes_queue_depth"] <= WINDOW + 3
    assert gauges["rtes_sessions"] <= 2
    edge.go_on()
    edge.logon("BOB")


def test_a_heartbeat_interval_that_is_too_long_opens_no_session_and_changes_none() -> None:
    edge = Edge(GatewayLimits(64, 100, 1_000, heart_bt_int_max=60))
    refusal = m.BusinessMessageReject("A", 0, Code.HEART_BT_INT, 60, 61)
    assert edge.ask("ANN", m.Logon("ANN", heart_bt_int=61)) == [refusal]
    assert isinstance(edge.ask("ANN", m.Logon("ANN", heart_bt_int=60))[0], m.LogonReply)
    assert edge.ask("ANN", m.Logon("ANN", heart_bt_int=61)) == [refusal]


def test_reports_are_not_read_from_disk_as_often_as_somebody_asks() -> None:
    edge = Edge()
    edge.logon("ANN")
    told = edge.ask("ANN", [m.ResendRequest(1) for _ in range(50)])
    assert [busy(t).ref_msg_type for t in told] == ["2"] * 49
    edge.pass_time(0.05)
    assert edge.ask("ANN", m.ResendRequest(1)) == []  # the archive answers, which is not here


def test_a_flood_is_throttled_and_banned_when_it_does_not_end(mesh: Mesh, peer: Peer) -> None:
    """Cancels pass all the time; somebody else trades all the time."""
    flood = peer
    last = flood.last_id()
    flood.send(order(last + 1))
    flood.until(m.ExecutionReport)
    batch: list[m.Inbound] = [m.TestRequest("x")] * 250
    throttled: list[m.BusinessMessageReject] = []
    canceled = ended = False
    deadline = time.monotonic() + 60
    while not ended:
        assert time.monotonic() < deadline, "it goes on and on"
        for _ in range(4):
            flood.send(batch)
        if throttled and not canceled:
            flood.send(m.OrderCancelRequest(last + 2, "AAPL", last + 1))
        flood.send(m.TestRequest("end of round"))
        while flood.socket.poll(20):
            reply = flood.receive()
            canceled |= isinstance(reply, m.ExecutionReport)
            ended |= isinstance(reply, m.Logout)
            if isinstance(reply, m.BusinessMessageReject) and not ended:
                throttled.append(reply)
        if len(throttled) % 7 == 0:
            still_trades(mesh)
    assert flood.was_closed()
    assert canceled
    assert {t.reject_code for t in throttled} == {Code.THROTTLED}
    assert all(0 < t.retry_after_ms <= 1_000 for t in throttled)
    assert str(PER_S) in explain(Code.THROTTLED, throttled[0].limit, throttled[0].value)
    with Peer(mesh, flood.account) as again:
        refusal = again.ask(m.Logon(flood.account))
        assert isinstance(refusal, m.BusinessMessageReject)
        assert refusal.reject_code == Code.BANNED
        assert again.was_closed()
    still_trades(mesh)


def test_a_burst_is_only_throttled() -> None:
    edge = Edge()
    edge.logon("ANN")
    for _ in range(20):  # once in two seconds
        told = [t for _ in range(6) for t in edge.ask("ANN", [m.TestRequest("x")] * 250)]
        assert any(isinstance(t, m.BusinessMessageReject) for t in told)
        edge.pass_time(2)
    assert edge.hung_up == []
