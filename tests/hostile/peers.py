"""Participants without manners, over real sockets."""

import struct
import time
from pathlib import Path

import zmq
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.enums import OrdType, Side

from tests.meshes import Raw

PX = 58_574  # AAPL's reference price


def order(cl_ord_id: int, price: int = PX - 9, side: Side = Side.BUY) -> m.NewOrderSingle:
    return m.NewOrderSingle(cl_ord_id, "AAPL", side, 1, OrdType.LIMIT, price)


class Peer(Raw):
    """A participant's socket that also knows when its connection was closed."""

    def __init__(self, mesh: Mesh, account: str) -> None:
        super().__init__(mesh, account)
        self.socket = self._socket
        self._monitor = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_error: object) -> None:
        if not self.socket.closed:
            self.close()

    def close(self) -> None:
        """Drop the connection and what was not sent yet."""
        self.socket.setsockopt(zmq.LINGER, 0)
        self.leave()

    def leave(self) -> None:
        """Drop the connection, after all was sent."""
        self.socket.disable_monitor()
        self._monitor.close(0)
        self.socket.close()
        self._context.term()

    def was_closed(self, timeout_s: float = 20.0) -> bool:
        """Whether the exchange ends the connection within that time."""
        if not self._monitor.poll(int(timeout_s * 1_000)):
            return False
        event = struct.unpack("=H", self._monitor.recv_multipart()[0][:2])[0]
        return bool(event == zmq.EVENT_DISCONNECTED)

    def receive_frame(self) -> bytes:
        """The next frame as it came."""
        assert self.socket.poll(20_000), "no answer"
        return self.socket.recv()  # type: ignore[no-any-return]

    def until(self, kind: type) -> list[m.Outbound]:
        """Everything up to the first message of that kind."""
        told = [self.receive()]
        while not isinstance(told[-1], kind):
            told.append(self.receive())
        return told

    def last_id(self) -> int:
        """Log on; the highest cl_ord_id that the account used."""
        self.send(m.Logon(self.account))
        reply = self.until(m.LogonReply)[-1]
        assert isinstance(reply, m.LogonReply)
        return reply.last_cl_ord_id


def rss_kib(mesh: Mesh, service: str = "gateway") -> int:
    """Memory that the service has now."""
    status = Path(f"/proc/{mesh.processes[service].pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def still_trades(mesh: Mesh, account: str = "BOT09") -> None:
    """An order of somebody else is taken and canceled as if nothing had happened."""
    peer = Peer(mesh, account)
    try:
        last = peer.last_id()
        peer.send(order(last + 1))
        assert isinstance(peer.until(m.ExecutionReport)[-1], m.ExecutionReport)
        peer.send(m.OrderCancelRequest(last + 2, "AAPL", last + 1))
        report = peer.until(m.ExecutionReport)[-1]
        assert isinstance(report, m.ExecutionReport)
        assert report.leaves_qty == 0
    finally:
        peer.close()
    log = mesh.log("gateway")
    assert "Traceback" not in log, log


def counter(mesh: Mesh, name: str, service: str = "gateway") -> float:
    """What the service says of itself, as of now: what it said before is passed over."""
    mesh.hear(0)
    mesh.vitals.pop(service, None)
    deadline = time.monotonic() + 20
    while service not in mesh.vitals:
        assert time.monotonic() < deadline, f"{service} says nothing"
        mesh.hear(100)
    found = {**mesh.vitals[service]["counters"], **mesh.vitals[service]["gauges"]}
    return float(found[name])
