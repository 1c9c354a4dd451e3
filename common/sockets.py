"""The services' sockets by channel, drained in batches; only connections.py knows zmq besides.

Nothing here may be relied on not to lose a frame: links and the feed see to that. Sends never
block; a frame that a full or missing peer does not take is dropped. Every queue towards a
participant has a number, and so have the connections.
"""

import select
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, cast

import zmq
import zmq.auth
from rtes.common.connections import CUT_OFF, PER_ADDRESS_MAX, SERVICES_MAX, Connections
from rtes.common.curve import Allow, CurveClient, CurveServer, Reached
from zmq.auth.thread import ThreadAuthenticator

DRAIN_FRAMES_MAX: Final = 256
BATCH_BYTES_MAX: Final = 24_000  # on an order's path: of some 500 orders
HWM_FRAMES: Final = 50_000  # between services, which have windows of their own
INBOUND_FRAMES_MAX: Final = 256  # of one participant; beyond it TCP makes it wait
OUTBOUND_FRAMES_MAX: Final = 4_096  # to one participant that does not read
_MAX_CLIENT_FRAME: Final = 1 << 17
_MAX_SERVICE_FRAME: Final = 1 << 26  # of a service to another, on another host
_send = zmq.backend.Socket.send  # skips pyzmq's Python layer: 320 ns instead of 740
# plain ints: an enum's | alone takes as long as a send
_NOBLOCK: Final = int(zmq.NOBLOCK)
_NOBLOCK_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
_POLLIN: Final = int(zmq.POLLIN)
_SRCFD: Final = int(zmq.SRCFD)
_SWEEP_NS: Final = 10_000_000


class Sockets:
    """The sockets of one process, addressed by small channel numbers.

    The kernel says which of them has news: asking ZeroMQ costs two calls of the kernel for each.
    It says so once, though, and anything done with a socket may take in the news; so a socket is
    asked as long as it may have more than was read (`_unsure`). A frame that came alone is dealt
    with before that; a socket that was found to have more is drained (`_crowded`)."""

    def __init__(self, batch_bytes_max: int = sys.maxsize) -> None:
        """batch_bytes_max: what is read of a channel at a time ends with the frame that reaches
        it. Where services hand work on, one that takes in all there is leaves the others idle."""
        self._batch_bytes_max = batch_bytes_max
        self._context = zmq.Context()
        self._by_channel: dict[int, zmq.Socket[bytes]] = {}
        self._news = select.epoll()
        self._polled: dict[int, zmq.Socket[bytes]] = {}  # by the descriptor that has its news
        self._unsure: set[zmq.Socket[bytes]] = set()
        self._crowded: set[zmq.Socket[bytes]] = set()
        self._channel_of: dict[Any, int] = {}
        self._identified: set[int] = set()
        self._connections: dict[int, Connections] = {}  # by channel, those from outside
        self._channel_of_monitor: dict[Any, int] = {}
        self._telling_lost: set[int] = set()
        self._authenticator: ThreadAuthenticator | None = None
        self._sweep_ns = 0
        self.named_drops = 0  # frames of participants that chose a routing id of their own

    def _add(
        self, channel: int, kind: int, polled: bool, outbound_frames_max: int = HWM_FRAMES
    ) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, outbound_frames_max)
        socket.setsockopt(zmq.RCVHWM, HWM_FRAMES)
        self._by_channel[channel] = socket
        if polled:
            self._poll(socket)
            self._channel_of[socket] = channel
        return socket

    def _poll(self, socket: "zmq.Socket[bytes]") -> None:
        fd = int(socket.get(zmq.FD))
        self._polled[fd] = socket
        self._unsure.add(socket)
        self._news.register(fd, select.EPOLLIN)

    def pull(self, channel: int, address: str, curve: CurveServer | None = None) -> None:
        socket = self._add(channel, zmq.PULL, polled=True)
        if curve is not None:
            socket.setsockopt(zmq.MAXMSGSIZE, _MAX_SERVICE_FRAME)
            self._face_outside(channel, socket, SERVICES_MAX, close_silent=False)
        self._secure(channel, socket, curve)
        _bind(socket, address)

    def push(
        self,
        channel: int,
        address: str,
        curve: CurveClient | None = None,
        outbound_frames_max: int = HWM_FRAMES,
    ) -> None:
        _connect(self._add(channel, zmq.PUSH, False, outbound_frames_max), address, curve)

    def publish(
        self,
        channel: int,
        address: str,
        curve: CurveServer | None = None,
        outbound_frames_max: int = HWM_FRAMES,
        tell_wanted: bool = False,
    ) -> None:
        """A subscriber with outbound_frames_max waiting for it misses what comes then. With
        tell_wanted, frames say what begins (first byte 1) and ceases (0) to be wanted by any
        subscriber: all topics that start with the rest."""
        kind = zmq.XPUB if tell_wanted else zmq.PUB
        socket = self._add(channel, kind, tell_wanted, outbound_frames_max)
        if address.startswith("tcp://"):
            self._face_outside(channel, socket, _per_address_max(curve), close_silent=False)
        self._secure(channel, socket, curve)
        _bind(socket, address)

    def subscribe(self, channel: int, sources: Iterable[Reached], topics: list[bytes]) -> None:
        """sources: address, and the keys to show there."""
        socket = self._add(channel, zmq.SUB, polled=True)
        for topic in topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        for address, curve in sources:
            _connect(socket, address, curve)

    def dealer(self, channel: int, address: str, curve: CurveClient | None = None) -> None:
        _connect(self._add(channel, zmq.DEALER, polled=True), address, curve)

    def router(
        self,
        channel: int,
        address: str,
        curve: CurveServer | None = None,
        outbound_frames_max: int = OUTBOUND_FRAMES_MAX,
        tell_lost: bool = False,
    ) -> None:
        """Frames arrive as (routing_id, user, payload); user is the client's key under CURVE.

        A payload of several parts arrives as an empty one. With tell_lost, payload None says that
        the connection is gone. The limits hold for participants, not between services."""
        socket = self._add(channel, zmq.ROUTER, polled=True)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_CLIENT_FRAME)
        self._identified.add(channel)
        if tell_lost:
            self._telling_lost.add(channel)
        participants = address.startswith("tcp://") and not (curve and curve.services)
        if participants:
            socket.setsockopt(zmq.SNDHWM, outbound_frames_max)
            socket.setsockopt(zmq.RCVHWM, INBOUND_FRAMES_MAX)
        if address.startswith("tcp://"):
            self._face_outside(channel, socket, _per_address_max(curve), participants)
        self._secure(channel, socket, curve)
        _bind(socket, address)

    def _face_outside(
        self,
        channel: int,
        socket: "zmq.Socket[bytes]",
        per_address_max: int,
        close_silent: bool,
    ) -> None:
        """Whoever connects may be half open, silent, one of too many."""
        _notice_loss(socket)
        connections = self._connections[channel] = Connections(
            socket, close_silent, per_address_max
        )
        self._poll(connections.monitor)
        self._channel_of_monitor[connections.monitor] = channel

    def _secure(self, channel: int, socket: "zmq.Socket[bytes]", curve: CurveServer | None) -> None:
        if curve is None:
            return
        if self._authenticator is None:
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
        domain = f"channel{channel}"  # each has its own list of who may connect
        self._authenticator.configure_curve_callback(domain, Allow(curve.allowed))
        socket.setsockopt(zmq.ZAP_DOMAIN, domain.encode())
        socket.curve_server = True
        socket.curve_publickey = curve.public_key.encode()
        socket.curve_secretkey = curve.secret_key.encode()

    def wait(self, timeout_ms: int) -> list[int]:
        """The channels that have something to read, after at most timeout_ms."""
        unsure = self._unsure
        if unsure:
            ready = zmq.zmq_poll([(socket, _POLLIN) for socket in unsure], 0)
            unsure.clear()
            for socket, _ in ready:
                unsure.add(cast("zmq.Socket[bytes]", socket))
            self._crowded |= unsure
        for fd, _ in self._news.poll(0 if unsure else timeout_ms / 1_000):
            unsure.add(self._polled[fd])
        channels: list[int] = []
        for socket in list(unsure):
            channel = self._channel_of.get(socket)
            if channel is not None:
                channels.append(channel)
                continue
            channel = self._channel_of_monitor[socket]
            self._connections[channel].drain()
            unsure.discard(socket)
            if channel not in channels and self._connections[channel].lost:
                channels.append(channel)
        now_ns = time.monotonic_ns()
        if now_ns >= self._sweep_ns:
            self._sweep_ns = now_ns + _SWEEP_NS
            for connections in self._connections.values():
                connections.sweep()
        return channels

    def receive(self, channel: int) -> list[Any]:
        """What waits on a ready channel, up to DRAIN_FRAMES_MAX frames or batch_bytes_max.

        Of a crowded one, too, one frame is read at first; only if more wait is the queue drained
        until it is dry, because finding it dry costs an exception."""
        socket = self._by_channel[channel]
        if channel in self._identified:
            return self._receive_identified(channel, socket)
        recv = socket.recv
        frames: list[Any] = []
        try:
            frame = recv(_NOBLOCK)
            frames.append(frame)
            if self._is_alone(socket):
                return frames
            size = len(frame)
            while len(frames) < DRAIN_FRAMES_MAX and size < self._batch_bytes_max:
                frame = recv(_NOBLOCK)
                frames.append(frame)
                size += len(frame)
        except zmq.Again:  # with nothing read: news of another kind, somebody connected
            self._unsure.discard(socket)
        return frames

    def _is_alone(self, socket: "zmq.Socket[bytes]") -> bool:
        """Whether to leave it at the first frame that was read."""
        if socket not in self._crowded:
            self._unsure.add(socket)
            return True
        if zmq.zmq_poll([(socket, _POLLIN)], 0):
            return False
        self._crowded.discard(socket)
        self._unsure.discard(socket)
        return True

    def _receive_identified(self, channel: int, socket: "zmq.Socket[bytes]") -> list[Any]:
        connections = self._connections.get(channel)
        frames: list[Any] = []
        recv = socket.recv
        user_of: dict[bytes, str] = {} if connections is None else connections.user_of
        ended: set[bytes] = set() if connections is None else connections.ended
        read = size = 0
        try:
            while read < DRAIN_FRAMES_MAX and size < self._batch_bytes_max:
                routing_id = recv(_NOBLOCK)
                frame = recv(0, False)
                payload = frame.bytes
                read += 1
                size += len(payload)
                while frame.more:  # nobody sends multipart here
                    frame, payload = recv(0, False), b""
                if connections is None:
                    frames.append((routing_id, "", payload))
                elif routing_id in ended:
                    pass
                elif routing_id[:1] == b"\0":  # ours: nobody can forge or inherit it
                    user = user_of.get(routing_id)
                    if user is None:  # its first: asking a frame takes as long as receiving it
                        user = _user(frame)
                        connections.heard(routing_id, frame.get(_SRCFD), user)
                    frames.append((routing_id, user, payload))
                else:
                    self.named_drops += 1
                if read == 1 and self._is_alone(socket):
                    break
        except zmq.Again:
            self._unsure.discard(socket)
        if connections is not None:
            lost = connections.take_lost(dry=socket not in self._unsure)
            if channel in self._telling_lost:
                frames += [(routing_id, "", None) for routing_id in lost]
        return frames

    def send(self, channel: int, routing_id: bytes | None, frame: bytes) -> bool:
        """False when the peer does not take it now (full, or gone). A frame shorter than any of a
        protocol ends a participant's connection: HANG_UP or CUT_OFF."""
        socket = self._by_channel[channel]
        if len(frame) < 2 and routing_id is not None and channel in self._connections:
            self._connections[channel].end(routing_id, at_once=frame == CUT_OFF)
            return True
        try:
            if routing_id is not None:
                _send(socket, routing_id, _NOBLOCK_MORE)
            _send(socket, frame, _NOBLOCK)
        except zmq.ZMQError:
            return False
        finally:
            if socket in self._channel_of:
                self._unsure.add(socket)
        return True

    def end_all(self, channel: int) -> None:
        """End the connections from outside, for a key is only looked at when one begins."""
        if channel in self._connections:
            self._connections[channel].end_all()

    def close(self, linger_ms: int = 0) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()
        for channel, connections in self._connections.items():
            connections.stop(self._by_channel[channel])
        for socket in self._by_channel.values():
            socket.close(linger_ms)
        self._news.close()
        self._context.term()


def _user(frame: zmq.Frame) -> str:
    """The key that sent it; empty without CURVE."""
    try:
        return str(frame.get(b"User-Id"))
    except zmq.ZMQError:
        return ""


def _per_address_max(curve: CurveServer | None) -> int:
    return SERVICES_MAX if curve is not None and curve.services else PER_ADDRESS_MAX


def _notice_loss(socket: "zmq.Socket[bytes]") -> None:
    """A peer whose host is gone sends no word of it."""
    socket.setsockopt(zmq.HANDSHAKE_IVL, 2_000)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 1_000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3_000)


def _connect(socket: "zmq.Socket[bytes]", address: str, curve: CurveClient | None) -> None:
    if address.startswith("tcp://"):
        socket.setsockopt(zmq.CONNECT_TIMEOUT, 3_000)
        _notice_loss(socket)
    if curve is not None:
        socket.curve_publickey = curve.public_key.encode()
        socket.curve_secretkey = curve.secret_key.encode()
        socket.curve_serverkey = curve.server_key.encode()
    socket.connect(address)


def _bind(socket: "zmq.Socket[bytes]", address: str) -> None:
    if address.startswith("ipc://"):
        Path(address[6:]).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket.bind(address)
