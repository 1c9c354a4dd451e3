"""The TCP connections behind one server socket: counted, limited, and closed when told to.

ZeroMQ neither limits connections nor closes one of them; its monitor tells their file
descriptors, though, and every frame tells by which it came. A descriptor may be another
connection's by now, so one is only shut down while its peer's address is still the one noted.
Memory is bounded by the connections that are open.
"""

import contextlib
import os
import resource
import socket
import struct
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Final

import zmq
from rtes.common.errors import OperatorError

PER_ADDRESS_MAX: Final = 64  # connections from one IP address
SERVICES_MAX: Final = 256  # connections from one IP address to a socket between services
TOTAL_MAX: Final = 2_048  # connections of one socket; sessions_max of them may log on
FILES_RESERVED: Final = 256  # for everything that is not a participant's connection
IDLE_NS: Final = 30_000_000_000  # a connection that has said nothing by then is closed
LAST_WORD_NS: Final = 100_000_000  # what was sent just before the end gets this long to leave
LOST_NS: Final = 1_000_000_000
HANG_UP: Final = b""  # as a frame to a participant: see Connections.end
CUT_OFF: Final = b"\xc1"  # the same, at once
_SWEEP_NS: Final = 1_000_000_000
_EVENT: Final = struct.Struct("=HI")  # event, value: how libzmq frames it


class TooFewFilesError(OperatorError):
    """This process may not open as many files as it may get connections."""


def reserve_files(connections: int) -> None:
    """Have the kernel allow that many connections. Raises TooFewFilesError."""
    needed = connections + FILES_RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    if hard < needed:
        raise TooFewFilesError(
            f"this process may open {hard} files, {connections} connections need {needed}; "
            f"raise the hard limit (ulimit -Hn {needed}, or LimitNOFILE of the service)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


@dataclass
class _Peer:
    address: tuple[Any, ...]  # as getpeername says
    accepted_ns: int
    routing_id: bytes | None = None  # None: it has said nothing yet


class Connections:
    """The connections of one bound socket. `monitor` is to be polled; `drain` when it is ready."""

    def __init__(
        self,
        server: "zmq.Socket[bytes]",
        close_silent: bool,
        per_address_max: int = PER_ADDRESS_MAX,
    ) -> None:
        """close_silent: end connections that say nothing at all; not for subscribers."""
        self.refused = 0  # too many of them
        self.closed = 0  # by us
        self.lost: deque[tuple[int, bytes]] = deque()  # when, routing id; not taken yet
        self.user_of: dict[bytes, str] = {}  # by routing id; a connection keeps key and id for life
        self._close_silent = close_silent
        self._per_address_max = per_address_max
        self._by_fd: dict[int, _Peer] = {}
        self._fd_of: dict[bytes, int] = {}
        self.ended: set[bytes] = set()  # routing ids: nothing more is heard of them
        self._from_host: Counter[str] = Counter()
        self._ending: deque[tuple[int, bytes]] = deque()  # when, routing id
        self._swept_ns = 0
        endpoint = f"inproc://connections.{server.fileno()}"
        server.monitor(endpoint, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self.monitor = server.context.socket(zmq.PAIR)
        self.monitor.setsockopt(zmq.LINGER, 0)
        self.monitor.setsockopt(zmq.RCVHWM, 0)  # a full one would stop ZeroMQ's own thread
        self.monitor.connect(endpoint)

    def __len__(self) -> int:
        return len(self._by_fd)

    def drain(self) -> None:
        """Take what the monitor has to say."""
        try:
            while True:
                event, fd = _EVENT.unpack(self.monitor.recv_multipart(zmq.NOBLOCK)[0])
                if event == zmq.EVENT_ACCEPTED:
                    self._accepted(fd)
                else:
                    self._forget(fd)
        except zmq.Again:
            pass

    def _accepted(self, fd: int) -> None:
        self._forget(fd)
        address = _peer_address(fd)
        if address is None:
            return  # gone again already
        host = address[0]
        if len(self._by_fd) >= TOTAL_MAX or self._from_host[host] >= self._per_address_max:
            self.refused += 1
            _shut_down(fd, address)
            return
        self._by_fd[fd] = _Peer(address, time.monotonic_ns())
        self._from_host[host] += 1

    def _forget(self, fd: int) -> None:
        peer = self._by_fd.pop(fd, None)
        if peer is None:
            return
        host = peer.address[0]
        self._from_host[host] -= 1
        if not self._from_host[host]:
            del self._from_host[host]
        if peer.routing_id is not None and self._fd_of.pop(peer.routing_id, None) is not None:
            del self.user_of[peer.routing_id]
            self.lost.append((time.monotonic_ns(), peer.routing_id))

    def take_lost(self, dry: bool) -> list[bytes]:
        """Routing ids whose connection is gone and, as far as can be known, whose last frames
        were read: the queue was dry, or enough time has passed."""
        found = []
        while self.lost and (dry or time.monotonic_ns() - self.lost[0][0] >= LOST_NS):
            found.append(self.lost.popleft()[1])
        self.ended.difference_update(found)  # not before: it may have left frames to read
        return found

    def heard(self, routing_id: bytes, fd: int, user: str) -> None:
        """A frame came by fd from routing_id, of whom user_of knows nothing."""
        self.drain()
        peer = self._by_fd.get(fd)
        if peer is not None and peer.routing_id is None:
            peer.routing_id = routing_id
            self._fd_of[routing_id] = fd
            self.user_of[routing_id] = user

    def end(self, routing_id: bytes, at_once: bool) -> None:
        """Listen to it no more, and close it, when not at once after what was sent to it has had
        time to leave."""
        fd = self._fd_of.get(routing_id)
        if fd is None or routing_id in self.ended:
            return
        self.ended.add(routing_id)
        if at_once:
            self._close(fd)
        else:
            self._ending.append((time.monotonic_ns() + LAST_WORD_NS, routing_id))

    def end_all(self) -> None:
        """Close all there are: whoever may still connects again, and shows its key anew."""
        self.drain()
        for fd in list(self._by_fd):
            self._close(fd)

    def sweep(self) -> None:
        """Close what is due; call it now and then."""
        now_ns = time.monotonic_ns()
        while self._ending and self._ending[0][0] <= now_ns:
            fd = self._fd_of.get(self._ending.popleft()[1])
            if fd is not None:
                self._close(fd)
        if now_ns - self._swept_ns >= _SWEEP_NS:
            self._swept_ns = now_ns
            if self._close_silent:
                for fd, peer in list(self._by_fd.items()):
                    if peer.routing_id is None and now_ns - peer.accepted_ns >= IDLE_NS:
                        self._close(fd)

    def _close(self, fd: int) -> None:
        self.closed += 1
        _shut_down(fd, self._by_fd[fd].address)

    def stop(self, server: "zmq.Socket[bytes]") -> None:
        """Before the server socket is closed."""
        server.disable_monitor()
        self.monitor.close(0)


def _peer_address(fd: int) -> tuple[Any, ...] | None:
    """Who is at the other end; None when nobody is."""
    try:
        with socket.socket(fileno=os.dup(fd)) as connection:
            address: tuple[Any, ...] = connection.getpeername()
            return address
    except OSError:
        return None


def _shut_down(fd: int, address: tuple[Any, ...]) -> None:
    """End the connection at fd if it is still the one with that peer; ZeroMQ closes fd itself."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as connection:
        if connection.getpeername() == address:
            connection.shutdown(socket.SHUT_RDWR)
