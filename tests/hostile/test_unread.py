"""A client that reads nothing: what waits for it is bounded, it is closed, it misses nothing."""

import pytest
import zmq
from rtes.client.credentials import Credentials
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.enums import ExecType, Side
from rtes.common.sockets import INBOUND_FRAMES_MAX, OUTBOUND_FRAMES_MAX

from tests.hostile.peers import PX, Peer, counter, order, rss_kib, still_trades
from tests.meshes import told, wait_for

pytestmark = pytest.mark.mesh
FRAME_BYTES_MAX = 4_096  # of the answers asked for here
TRADES = 200


def deaf(mesh: Mesh, account: str) -> tuple["zmq.Context[zmq.Socket[bytes]]", "zmq.Socket[bytes]"]:
    """A socket that takes nothing from the network beyond one frame."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVHWM, 1)
    socket.setsockopt(zmq.RCVBUF, 4_096)
    credentials = Credentials.of(account, mesh.paths)
    socket.curve_publickey = credentials.public_key.encode()
    socket.curve_secretkey = credentials.secret_key.encode()
    socket.curve_serverkey = credentials.server_key.encode()
    socket.connect(mesh.config.exchange.orders_endpoint)
    return context, socket


def test_a_client_that_reads_nothing_is_closed_and_finds_everything_on_its_return(
    mesh: Mesh,
) -> None:
    with Peer(mesh, "BOT01") as resting:
        last = resting.last_id()
        resting.send([order(last + 1 + i, PX, Side.SELL) for i in range(TRADES)])
        for _ in range(TRADES):
            resting.receive()
    wait_for(lambda: counter(mesh, "rtes_sessions") == 0)
    before_kib = rss_kib(mesh)
    context, socket = deaf(mesh, "BOT01")
    socket.send(m.encode(m.Logon("BOT01")))
    wait_for(lambda: counter(mesh, "rtes_sessions") == 1)
    questions = m.encode([m.SecurityListRequest("x" * 64)] * 128)
    for _ in range(4 * OUTBOUND_FRAMES_MAX // 128):
        socket.send(questions)
    peak_kib = before_kib
    while counter(mesh, "rtes_sessions"):  # ZeroMQ at this end notices nothing: it does not read
        peak_kib = max(peak_kib, rss_kib(mesh))
    peak_kib = max(peak_kib, rss_kib(mesh))
    waiting = OUTBOUND_FRAMES_MAX * FRAME_BYTES_MAX + INBOUND_FRAMES_MAX * len(questions)
    assert (peak_kib - before_kib) * 1_024 < waiting
    socket.close(0)
    context.term()
    with Peer(mesh, "BOT02") as buyer:  # meanwhile it trades
        last = buyer.last_id()
        buyer.send([order(last + 1 + i, PX) for i in range(TRADES)])
        for _ in range(2 * TRADES):
            buyer.receive()
    with Peer(mesh, "BOT01") as back:
        back.last_id()
        back.send(m.ResendRequest(1))
        found = [back.receive() for _ in range(len(told(mesh)["BOT01"]))]
    assert found == told(mesh)["BOT01"]
    trades = [r for r in found if isinstance(r, m.ExecutionReport)]
    assert sum(r.exec_type is ExecType.TRADE for r in trades) == TRADES
    still_trades(mesh)
