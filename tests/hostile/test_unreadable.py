"""Frames that cannot be read: answered, counted, and in the end the key is banned for a minute."""

from collections.abc import Iterator

import msgpack
import pytest
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.refusals import Code

from tests.hostile.edge import Edge
from tests.hostile.peers import PX, Peer, counter, order, rss_kib, still_trades

pytestmark = pytest.mark.mesh
MIB = 1_024  # KiB
DEEP = [b"\x91" * 60_000, b"\x81\xa1x" * 20_000, b"\xdc\x00\x01" * 20_000]
HUGE = [
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
]


@pytest.fixture
def peer(mesh: Mesh, request: pytest.FixtureRequest) -> Iterator[Peer]:
    """An account for each test, since bans outlast it."""
    accounts = [f"BOT{i:02}" for i in range(1, 9)]
    tests = [n for n in globals() if n.startswith("test_")]
    found = Peer(mesh, accounts[tests.index(request.function.__name__)])
    yield found
    found.close()


def reject_of(reply: m.Outbound) -> m.Reject:
    assert isinstance(reply, m.Reject), reply
    return reply


def test_ten_malformed_frames_a_minute_close_and_ban_the_key(mesh: Mesh, peer: Peer) -> None:
    frames = [
        b"",
        b"\xc1",
        m.encode(order(1))[:-1],
        m.encode(order(1)) + b"\0",
        b"\x91\xa2\xff\xfe",
    ]
    peer.last_id()
    for frame in (*frames, *frames[:4]):
        assert reject_of(peer.ask(frame)).reject_code == Code.MALFORMED
    assert isinstance(peer.ask(m.TestRequest("still here")), m.Heartbeat)
    assert isinstance(peer.ask(b"\xc1"), m.Logout)
    assert peer.was_closed()
    for _ in range(2):  # by new connections: what the old one takes just now may be lost with it
        with Peer(mesh, peer.account) as again:
            reply = again.ask(m.Logon(peer.account))
            assert isinstance(reply, m.BusinessMessageReject)
            assert reply.reject_code == Code.BANNED
            assert 0 < reply.retry_after_ms <= 60_000
            assert again.was_closed()
    assert counter(mesh, "rtes_bans_total") >= 1
    still_trades(mesh)


def test_a_ban_ends_after_a_minute_and_other_keys_never_feel_it() -> None:
    edge = Edge()
    edge.logon("ANN")
    edge.logon("BOB")
    for _ in range(10):
        told = edge.ask("ANN", b"\xc1")
    assert isinstance(told[-1], m.Logout)
    assert edge.hung_up == [b"ANN"]
    assert edge.ask("ANN", m.TestRequest("x")) == []
    assert isinstance(edge.ask("BOB", m.TestRequest("x"))[0], m.Heartbeat)
    edge.pass_time(59)
    (refusal,) = edge.ask("ANN", m.Logon("ANN"))
    assert isinstance(refusal, m.BusinessMessageReject)
    assert (refusal.reject_code, refusal.retry_after_ms) == (Code.BANNED, 1_000)
    edge.pass_time(1)
    edge.logon("ANN")


def test_nine_a_minute_are_answered_for_ever() -> None:
    edge = Edge()
    edge.logon("ANN")
    for _ in range(5):
        for _ in range(9):
            assert [type(x) for x in edge.ask("ANN", b"\xc1")] == [m.Reject]
        for _ in range(4):
            edge.pass_time(15)
            edge.ask("ANN", m.Heartbeat())
    assert edge.hung_up == []


def test_a_frame_over_the_limit_is_refused_with_the_limit(mesh: Mesh, peer: Peer) -> None:
    peer.last_id()
    size = m.FRAME_BYTES_MAX + 1
    reject = reject_of(peer.ask(b"x" * size))
    assert (reject.reject_code, reject.limit, reject.value) == (
        Code.TOO_LARGE, m.FRAME_BYTES_MAX, size,
    )  # fmt: skip
    still_trades(mesh)


def test_a_frame_over_the_transport_limit_ends_the_connection(mesh: Mesh, peer: Peer) -> None:
    """ZeroMQ drops the peer on the length it declares; nothing is allocated for it."""
    peer.last_id()
    before = rss_kib(mesh)
    for _ in range(5):  # a socket each: one that comes back by itself may send the frame again
        with Peer(mesh, peer.account) as other:
            other.last_id()
            other.socket.send(b"x" * 4_000_000)
            assert other.was_closed()
    assert rss_kib(mesh) - before < 8 * MIB
    with Peer(mesh, peer.account) as again:
        again.last_id()
    still_trades(mesh)


def test_deep_nesting_and_huge_lengths_cost_nothing(mesh: Mesh, peer: Peer) -> None:
    peer.last_id()
    before = rss_kib(mesh)
    for frame in (*DEEP, *HUGE):
        assert reject_of(peer.ask(frame)).reject_code == Code.MALFORMED
    assert rss_kib(mesh) - before < 8 * MIB
    still_trades(mesh)


def test_wrong_arity_types_and_ranges_name_the_field_and_ban_nobody(mesh: Mesh, peer: Peer) -> None:
    last = peer.last_id()
    good = ["D", last + 1, "AAPL", "1", 1, "2", PX]
    wrong = [
        (1, True, "cl_ord_id"), (1, 1.0, "cl_ord_id"), (1, 0, "cl_ord_id"),
        (1, 2**63, "cl_ord_id"), (3, "9", "side"), (4, 0, "order_qty"), (4, -5, "order_qty"),
        (4, float("nan"), "order_qty"), (5, "Q", "ord_type"), (6, -1, "price"),
        (6, msgpack.Timestamp(1), "price"), (2, "X" * 17, "symbol"),
    ]  # fmt: skip
    for at, value, field in wrong:
        row: list[object] = [*good]
        row[at] = value
        reject = reject_of(peer.ask(msgpack.packb(row)))
        assert (reject.reject_code, reject.ref_field) == (Code.INVALID_VALUE, field)
    for row in (good[:3], [*good, *[0] * 20]):
        assert reject_of(peer.ask(msgpack.packb(row))).reject_code == Code.INVALID_VALUE
    report = peer.ask(m.encode(good))  # none of those has spent the id
    assert isinstance(report, m.ExecutionReport)
    peer.ask(m.OrderCancelRequest(last + 2, "AAPL", last + 1))


def test_a_message_of_several_parts_is_unreadable_and_none_is_taken(mesh: Mesh, peer: Peer) -> None:
    last = peer.last_id()
    taken = m.encode(order(last + 1))
    for parts in ([taken, b"more"], [b"", taken], [taken, taken], [taken, *[b""] * 100]):
        peer.socket.send_multipart(parts)
        assert reject_of(peer.receive()).reject_code == Code.MALFORMED
    reply = peer.ask(m.OrderMassStatusRequest(last + 2))
    assert isinstance(reply, m.OrderMassStatusReport)
    assert reply.tot_num_reports == 0
    still_trades(mesh)
