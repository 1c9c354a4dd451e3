"""The only file that imports zmq for the services: sockets by channel, drained in batches.

Nothing here may be relied on not to lose a frame: links and the feed see to that. Sends never
block; a frame that a full or missing peer does not take is dropped and counted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

DRAIN_FRAMES_MAX: Final = 256
HWM_FRAMES: Final = 50_000
_MAX_CLIENT_FRAME: Final = 1 << 17
_send = zmq.backend.Socket.send  # skips pyzmq's Python layer: 320 ns instead of 740


@dataclass(frozen=True)
class CurveServer:
    """Key pair of a server socket, and who may connect: public key (Z85) -> account name."""

    public_key: str
    secret_key: str
    allowed: Callable[[str], bool]


class _Allow:
    """The ZAP callback: pyzmq calls it with the client's public key in Z85."""

    def __init__(self, allowed: Callable[[str], bool]) -> None:
        self._allowed = allowed

    def callback(self, _domain: str, key: bytes) -> bool:
        return self._allowed(key.decode())


class Sockets:
    """The sockets of one process, addressed by small channel numbers."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._by_channel: dict[int, zmq.Socket[bytes]] = {}
        self._polled: list[tuple[zmq.Socket[bytes], int]] = []
        self._channel_of: dict[Any, int] = {}
        self._identified: set[int] = set()
        self._authenticator: ThreadAuthenticator | None = None
        self.send_drops = 0

    def _add(self, channel: int, kind: int, polled: bool) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.set_hwm(HWM_FRAMES)
        self._by_channel[channel] = socket
        if polled:
            self._polled.append((socket, zmq.POLLIN))
            self._channel_of[socket] = channel
        return socket

    def pull(self, channel: int, address: str) -> None:
        _bind(self._add(channel, zmq.PULL, polled=True), address)

    def push(self, channel: int, address: str) -> None:
        self._add(channel, zmq.PUSH, polled=False).connect(address)

    def publish(self, channel: int, address: str, curve: CurveServer | None = None) -> None:
        socket = self._add(channel, zmq.PUB, polled=False)
        self._secure(socket, curve)
        _bind(socket, address)

    def subscribe(self, channel: int, addresses: list[str], topics: list[bytes]) -> None:
        socket = self._add(channel, zmq.SUB, polled=True)
        for topic in topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        for address in addresses:
            socket.connect(address)

    def dealer(self, channel: int, address: str) -> None:
        self._add(channel, zmq.DEALER, polled=True).connect(address)

    def router(self, channel: int, address: str, curve: CurveServer | None = None) -> None:
        """Frames arrive as (routing_id, user, payload); user is the client's key under CURVE."""
        socket = self._add(channel, zmq.ROUTER, polled=True)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_CLIENT_FRAME)
        socket.setsockopt(zmq.HANDSHAKE_IVL, 2_000)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 1_000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3_000)
        self._identified.add(channel)
        self._secure(socket, curve)
        _bind(socket, address)

    def _secure(self, socket: "zmq.Socket[bytes]", curve: CurveServer | None) -> None:
        if curve is None:
            return
        if self._authenticator is None:
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
            self._authenticator.configure_curve_callback("rtes", _Allow(curve.allowed))
        socket.setsockopt(zmq.ZAP_DOMAIN, b"rtes")
        socket.curve_server = True
        socket.curve_publickey = curve.public_key.encode()
        socket.curve_secretkey = curve.secret_key.encode()

    def wait(self, timeout_ms: int) -> list[int]:
        """The channels that have something to read, after at most timeout_ms."""
        return [self._channel_of[s] for s, _ in zmq.zmq_poll(self._polled, timeout_ms)]

    def receive(self, channel: int) -> list[Any]:
        """What waits on a ready channel, up to DRAIN_FRAMES_MAX frames.

        One frame is read at once; only if more wait is the queue drained until it is dry,
        because finding it dry costs an exception."""
        socket = self._by_channel[channel]
        if channel in self._identified:
            return self._receive_identified(socket)
        recv, frames = socket.recv, [socket.recv(zmq.NOBLOCK)]
        if zmq.zmq_poll([(socket, zmq.POLLIN)], 0):
            try:
                while len(frames) < DRAIN_FRAMES_MAX:
                    frames.append(recv(zmq.NOBLOCK))
            except zmq.Again:
                pass
        return frames

    def _receive_identified(self, socket: "zmq.Socket[bytes]") -> list[Any]:
        frames: list[Any] = []
        recv = socket.recv
        try:
            while len(frames) < DRAIN_FRAMES_MAX:
                routing_id = recv(zmq.NOBLOCK)
                frame = recv(0, False)
                try:
                    user = frame.get("User-Id")
                except zmq.ZMQError:
                    user = ""  # no CURVE on this socket
                more = frame.more
                while more:  # nobody sends multipart here: drop the rest
                    more = recv(0, False).more
                frames.append((routing_id, user, frame.bytes))
                if len(frames) == 1 and not zmq.zmq_poll([(socket, zmq.POLLIN)], 0):
                    break
        except zmq.Again:
            pass
        return frames

    def send(self, channel: int, routing_id: bytes | None, frame: bytes) -> bool:
        """False when the peer does not take it now (full, or gone)."""
        socket = self._by_channel[channel]
        try:
            if routing_id is not None:
                _send(socket, routing_id, zmq.NOBLOCK | zmq.SNDMORE)
            _send(socket, frame, zmq.NOBLOCK)
        except zmq.ZMQError:
            self.send_drops += 1
            return False
        return True

    def close(self, linger_ms: int = 0) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()
        for socket in self._by_channel.values():
            socket.close(linger_ms)
        self._context.term()


def _bind(socket: "zmq.Socket[bytes]", address: str) -> None:
    if address.startswith("ipc://"):
        Path(address[6:]).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket.bind(address)


def refuses_unknown_key(endpoint: str, server_key: str, timeout_ms: int = 2_000) -> bool:
    """Try a key that nobody knows; True when the handshake was refused for it."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    public, secret = zmq.curve_keypair()
    socket.curve_publickey, socket.curve_secretkey = public, secret
    socket.curve_serverkey = server_key.encode()
    events = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    monitor = socket.get_monitor_socket(events)
    try:
        socket.connect(endpoint)
        if not monitor.poll(timeout_ms):
            return False
        event = int.from_bytes(monitor.recv_multipart()[0][:2], "little")
        return event != zmq.EVENT_HANDSHAKE_SUCCEEDED
    finally:
        socket.disable_monitor()
        monitor.close(0)
        socket.close(0)
        context.term()
