"""Who is who: keys, not names or routing ids; and nobody learns which accounts exist."""

import socket
from collections.abc import Iterator

import pytest
import zmq
from rtes.client.credentials import Credentials
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.curve import refuses_unknown_key
from rtes.common.enums import PartyAction
from rtes.common.refusals import Code

from tests.hostile.edge import Edge
from tests.hostile.peers import Peer, counter, order, still_trades
from tests.meshes import connect, wait_for
from tests.wire import Wire

pytestmark = pytest.mark.mesh
STRANGE_PER_S_MAX = 1_000


@pytest.fixture
def peer(mesh: Mesh) -> Iterator[Peer]:
    found = Peer(mesh, "DEMO1")
    yield found
    found.close()


def open_orders(mesh: Mesh, account: str) -> int:
    with connect(mesh, account) as client:
        *_, last = client.ask(m.OrderMassStatusRequest(client.next_id()))
        assert isinstance(last, m.OrderMassStatusReport)
        return last.tot_num_reports


def test_an_older_session_of_the_gateway_ends_when_the_newer_one_asks() -> None:
    """Before the matcher has said anything: or the newer one would not know what it still did."""
    edge, key = Edge(), "key of ANN"
    edge.logon("ANN")
    edge.stopped = True
    edge.send(b"newer", key, m.Logon("ANN"))
    (told,) = edge.ask("ANN", order(1, 990))
    assert isinstance(told, m.BusinessMessageReject)
    assert told.reject_code == Code.NOT_LOGGED_ON
    edge.go_on()
    edge.send(b"newer", key, order(1, 991))
    reply, report = edge.told[b"newer"]
    assert isinstance(reply, m.LogonReply)
    assert reply.last_cl_ord_id == 0
    assert isinstance(report, m.ExecutionReport)
    assert report.price == 991


def test_a_replayed_authentication_opens_no_session(mesh: Mesh) -> None:
    """The bytes of a whole session, recorded on the wire, mean nothing the second time."""
    wire = Wire(mesh.config.exchange.ports["orders"])
    with connect(mesh, "DEMO2", endpoint=wire.endpoint) as client:
        client.cancel_all()
        client.buy("AAPL", 1, 58_000)
    recorded = bytes(wire.seen)
    wire.close()
    assert len(recorded) > 500
    assert open_orders(mesh, "DEMO2") == 1
    sessions = counter(mesh, "rtes_sessions")
    port = mesh.config.exchange.ports["orders"]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as replay:
        replay.sendall(recorded)
        answer = b""
        try:
            while part := replay.recv(65_536):
                answer += part
        except ConnectionResetError:
            pass  # closed with bytes of ours unread
    assert b"READY" not in answer
    assert open_orders(mesh, "DEMO2") == 1
    assert counter(mesh, "rtes_sessions") == sessions
    with connect(mesh, "DEMO2") as client:
        client.cancel_all()


def test_an_unknown_key_does_not_get_past_the_handshake(mesh: Mesh) -> None:
    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.setsockopt(zmq.LINGER, 0)
    stranger.curve_publickey, stranger.curve_secretkey = zmq.curve_keypair()
    stranger.curve_serverkey = Credentials.of("DEMO1", mesh.paths).server_key.encode()
    events = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_SUCCEEDED
    monitor = stranger.get_monitor_socket(events)
    stranger.connect(mesh.config.exchange.orders_endpoint)
    assert monitor.poll(20_000)
    event = int.from_bytes(monitor.recv_multipart()[0][:2], "little")
    assert event == zmq.EVENT_HANDSHAKE_FAILED_AUTH
    stranger.disable_monitor()
    monitor.close(0)
    stranger.close(0)
    context.term()


def test_an_order_without_a_session_is_refused_and_goes_nowhere(mesh: Mesh, peer: Peer) -> None:
    reply = peer.ask(order(1))
    assert isinstance(reply, m.BusinessMessageReject)
    assert reply.reject_code == Code.NOT_LOGGED_ON
    edge = Edge()
    seq = edge.matcher.next_seq
    assert edge.ask("ANN", order(1)) == [reply]
    assert edge.matcher.next_seq == seq


def test_talk_without_a_session_is_answered_up_to_a_limit() -> None:
    edge = Edge()
    for _ in range(STRANGE_PER_S_MAX + 500):
        edge.send(b"x", "key of ANN", m.TestRequest("x"))
    assert len(edge.told[b"x"]) == STRANGE_PER_S_MAX
    edge.pass_time(1)
    edge.logon("ANN")


def test_accounts_of_others_and_accounts_that_do_not_exist_look_the_same(
    mesh: Mesh, peer: Peer
) -> None:
    """To a logon, to a question and to the kill switch."""
    logons = [peer.ask(m.Logon(name)) for name in ("DEMO2", "OPS", "NOBODY", "DEMO1'--")]
    assert isinstance(logons[0], m.BusinessMessageReject)
    assert logons[0].reject_code == Code.NOT_AUTHORIZED
    assert len(set(logons)) == 1
    last = peer.last_id()
    asked = [peer.ask(m.RequestForPositions("q", name)) for name in ("DEMO2", "NOBODY")]
    assert isinstance(asked[0], m.BusinessMessageReject)
    assert asked[0].reject_code == Code.NOT_AUTHORIZED
    assert len(set(asked)) == 1
    codes = []
    for i, name in enumerate(("DEMO2", "NOBODY"), last + 1):
        report = peer.ask(m.PartyActionRequest(i, PartyAction.SUSPEND, name))
        assert isinstance(report, m.PartyActionReport)
        codes.append(report.reject_code)
    assert codes == [Code.NOT_AUTHORIZED] * 2


def test_a_routing_id_of_ones_own_choice_is_ignored(mesh: Mesh, peer: Peer) -> None:
    """So nobody can sit on, or inherit, the id of somebody else's connection."""
    peer.last_id()
    context = zmq.Context()
    credentials = Credentials.of("DEMO3", mesh.paths)
    forger = context.socket(zmq.DEALER)
    forger.setsockopt(zmq.LINGER, 0)
    forger.setsockopt(zmq.ROUTING_ID, b"someone")
    forger.curve_publickey = credentials.public_key.encode()
    forger.curve_secretkey = credentials.secret_key.encode()
    forger.curve_serverkey = credentials.server_key.encode()
    forger.connect(mesh.config.exchange.orders_endpoint)
    for _ in range(1_000):
        forger.send(m.encode(m.Logon("DEMO3")))
    assert not forger.poll(500)
    forger.close(0)
    context.term()
    assert isinstance(peer.ask(m.TestRequest("x")), m.Heartbeat)
    still_trades(mesh)


def test_a_session_belongs_to_its_key_whatever_the_routing_id() -> None:
    """The frame of another key on the same routing id ends the session; it orders nothing."""
    edge = Edge()
    edge.logon("ANN")
    seq = edge.matcher.next_seq
    edge.send(b"ANN", "key of BOB", order(1))
    assert edge.hung_up == [b"ANN"]
    assert edge.matcher.next_seq == seq + 1  # the end of the session, no order
    (refusal,) = edge.ask("ANN", order(1))
    assert isinstance(refusal, m.BusinessMessageReject)
    assert refusal.reject_code == Code.NOT_LOGGED_ON


def test_one_key_cannot_take_more_than_one_session(mesh: Mesh) -> None:
    """Logging on again and again only moves the one session."""
    # sessions of the tests before are still ending
    wait_for(lambda: counter(mesh, "rtes_sessions") == counter(mesh, "rtes_sessions"))
    before = counter(mesh, "rtes_sessions")
    peers = [Peer(mesh, "DEMO4") for _ in range(10)]
    for peer in peers:
        peer.send(m.Logon("DEMO4"))
    wait_for(lambda: counter(mesh, "rtes_sessions") == before + 1)
    for peer in peers:
        peer.close()
    wait_for(lambda: counter(mesh, "rtes_sessions") == before)


@pytest.mark.parametrize(("kind", "peer"), [(zmq.ROUTER, zmq.DEALER), (zmq.PUB, zmq.SUB)])
def test_a_server_that_lets_random_keys_in_fails_its_own_test_at_start(
    kind: int, peer: int
) -> None:
    """Without a ZAP handler, CURVE takes every key: its owner must find that out, and say so."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    context = zmq.Context()
    careless = context.socket(kind)
    careless.curve_server, careless.curve_secretkey = True, secret.encode()
    port = careless.bind_to_random_port("tcp://127.0.0.1")
    assert not refuses_unknown_key(f"tcp://127.0.0.1:{port}", public, peer)
    careless.close(0)
    context.term()


def test_a_gateway_that_lets_random_keys_in_is_not_ready() -> None:
    edge = Edge()
    assert edge.gateway.vitals().ready
    edge.gateway.refuses_unknown_keys = False
    assert not edge.gateway.vitals().ready
