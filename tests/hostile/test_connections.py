"""Connections that flood, say nothing, hang half open, die, or speak another protocol."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq
from rtes.client.credentials import Credentials
from rtes.client.testing import Mesh, free_port
from rtes.common import connections
from rtes.common import messages as m
from rtes.common.config import Config
from rtes.common.refusals import Code
from rtes.common.sockets import Sockets

from tests.hostile.peers import Peer, order, still_trades
from tests.hostile.test_identity import open_orders
from tests.meshes import wait_for

pytestmark = pytest.mark.mesh
CLIENT_HELLO = bytes.fromhex("16030100c4010000c00303") + bytes(200)
CLIENT = """
import sys, time
from rtes.client import Client
from rtes.common.config import load
from rtes.common.enums import CancelOnDisconnect
client = Client.connect("BOT03", config=load(sys.argv[1], {}), timeout_s=20,
                        cancel_on_disconnect=CancelOnDisconnect.EVERYTHING)
client.buy("AAPL", 1, 58_000)
print("ready", flush=True)
while True:
    client.poll(0.1)
"""


def dial(mesh: Mesh) -> socket.socket:
    port = mesh.config.exchange.ports["orders"]
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def wait_closed(connection: socket.socket) -> None:
    """Until the exchange ends the connection."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        pass  # it was closed with bytes of ours unread


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while connection.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


def test_a_flood_of_connections_from_one_address_ends_at_the_limit(mesh: Mesh) -> None:
    """The others are closed as soon as they are accepted; other addresses go on trading."""
    count = connections.PER_ADDRESS_MAX + 100
    flood = [dial(mesh) for _ in range(count)]
    wait_for(lambda: sum(map(is_closed, flood)) >= 100)
    from_elsewhere(mesh)
    for connection in flood:
        connection.close()
    still_trades(mesh)


def from_elsewhere(mesh: Mesh) -> None:
    """Log on from another address of this machine."""
    port = mesh.config.exchange.ports["orders"]
    credentials = Credentials.of("BOT05", mesh.paths)
    context = zmq.Context()
    peer = context.socket(zmq.DEALER)
    peer.setsockopt(zmq.LINGER, 0)
    peer.curve_publickey = credentials.public_key.encode()
    peer.curve_secretkey = credentials.secret_key.encode()
    peer.curve_serverkey = credentials.server_key.encode()
    peer.connect(f"tcp://127.0.0.2:0;127.0.0.1:{port}")
    peer.send(m.encode(m.Logon("BOT05")))
    assert peer.poll(20_000), "another address was shut out"
    peer.close(0)
    context.term()


def test_sessions_have_a_limit(tmp_path: Path) -> None:
    """1,024 unless configured; the next logon is told to come again."""
    assert Config.model_fields["session"].default.sessions_max == 1_024
    assert connections.TOTAL_MAX >= 2 * 1_024
    with Mesh(tmp_path, session={"sessions_max": 2}) as mesh:
        peers = [Peer(mesh, name) for name in ("BOT01", "BOT02", "BOT03")]
        peers[0].last_id()
        peers[1].last_id()
        reply = peers[2].ask(m.Logon("BOT03"))
        assert isinstance(reply, m.BusinessMessageReject)
        assert (reply.reject_code, reply.limit, reply.retry_after_ms) == (Code.BUSY, 2, 1_000)
        peers[0].ask(m.Logout())
        peers[2].last_id()
        for peer in peers:
            peer.close()


def test_too_few_files_are_found_out_at_the_start(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, ())
    with mesh:
        run = subprocess.run(
            ["bash", "-c", 'ulimit -n 512; exec "$@"', "-", sys.executable, "-m",
             "rtes.services.gateway", "--config", str(mesh.config_file)],
            check=False, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert run.returncode == 64, run.stderr
    needed = connections.TOTAL_MAX + connections.FILES_RESERVED
    assert f"need {needed}" in run.stderr
    assert "ulimit -Hn" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_half_open_connection_is_closed_by_the_handshake_timer(mesh: Mesh) -> None:
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15) + b"\x00" + bytes(31)
    half_open = [dial(mesh) for _ in range(3)]
    half_open[1].sendall(greeting[:10])
    half_open[2].sendall(greeting)
    for connection in half_open:
        wait_closed(connection)
        connection.close()
    still_trades(mesh)


def test_a_silent_connection_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shook hands and then said nothing; the real limit is 30 s."""
    monkeypatch.setattr(connections, "IDLE_NS", 300_000_000)
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    server = Sockets()
    server.router(1, endpoint, tell_lost=True)
    context = zmq.Context()
    silent, talking = (context.socket(zmq.DEALER) for _ in range(2))
    monitor = silent.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    silent.connect(endpoint)
    talking.connect(endpoint)
    talking.send(b"hello")
    heard, deadline = [], time.monotonic() + 20
    while not monitor.poll(0):
        assert time.monotonic() < deadline, "nobody closed it"
        for channel in server.wait(50):
            heard += server.receive(channel)
    assert [frame for _, _, frame in heard] == [b"hello"]
    silent.disable_monitor()
    for end in (monitor, silent, talking):
        end.close(0)
    context.term()
    server.close()


def test_a_connection_that_dies_cancels_what_it_asked_to(mesh: Mesh) -> None:
    """Killed, the kernel says so; stopped, only ZMTP's heartbeats find out."""
    for end in (signal.SIGKILL, signal.SIGSTOP):
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(mesh.config_file)], stdout=subprocess.PIPE
        )
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        os.kill(client.pid, end)
        # not by another logon of the account, which would end its session: ask the matcher
        wait_for(lambda: orders_in_book(mesh) == 0)
        client.kill()
        client.wait()
        client.stdout.close()
    assert open_orders(mesh, "BOT03") == 0


def orders_in_book(mesh: Mesh) -> int:
    """As risk knows them: an operator may ask about anyone."""
    operator = Peer(mesh, "OPS")
    try:
        operator.last_id()
        operator.send(m.RequestForPositions("q", "BOT03"))
        while True:
            report = operator.receive()
            if isinstance(report, m.PositionReport) and not report.symbol:  # the account's own
                return report.open_orders
    finally:
        operator.close()


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /" + b"x" * 100_000, CLIENT_HELLO,
     b"SSH-2.0-OpenSSH_9.6\r\n", b"8=FIX.4.4\x019=5\x0135=A\x0110=000\x01", bytes(4_096),
     b"\xff" * 4_096],
    ids=["http", "http post", "tls", "ssh", "fix", "zeroes", "ones"],
)  # fmt: skip
def test_bytes_of_another_protocol_are_closed_without_a_traceback(mesh: Mesh, said: bytes) -> None:
    with dial(mesh) as connection:
        connection.sendall(said)
        wait_closed(connection)
    still_trades(mesh)


def test_the_market_data_ports_survive_them_too(tmp_path: Path) -> None:
    with Mesh(tmp_path, ("matcher", "archive", "marketdata")) as mesh:
        for what in ("market data", "market data snapshots"):
            for said in (b"GET / HTTP/1.1\r\n\r\n", CLIENT_HELLO):
                port = mesh.config.exchange.ports[what]
                with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                    connection.sendall(said)
                    wait_closed(connection)
        mesh.vitals.clear()
        mesh.wait_ready()
        assert "Traceback" not in mesh.log("marketdata")


def test_an_order_is_taken_before_its_connection_is_mourned(mesh: Mesh) -> None:
    """What was sent just before the connection went still counts."""
    peer = Peer(mesh, "BOT06")
    last = peer.last_id()
    peer.send([order(last + 1 + i) for i in range(50)])
    peer.socket.setsockopt(zmq.LINGER, 5_000)
    peer.leave()
    wait_for(lambda: open_orders(mesh, "BOT06") == 50)
