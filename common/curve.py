"""Who may connect to a socket: CURVE keys, and the test that an unknown one is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import zmq

_ANSWER_MS: Final = 10_000  # a handshake's answer takes so long on a busy machine at most


@dataclass(frozen=True)
class CurveServer:
    """Key pair of a server socket, and who may connect, by public key (Z85): participants, or
    services of this mesh."""

    public_key: str
    secret_key: str
    allowed: Callable[[str], bool]
    services: bool = False


@dataclass(frozen=True)
class CurveClient:
    """An account's key pair, and the server's key that it trusts; Z85."""

    public_key: str
    secret_key: str
    server_key: str


Reached = tuple[str, CurveClient | None]  # an address, and the keys to show there


class Allow:
    """The ZAP callback: pyzmq calls it with the client's public key in Z85."""

    def __init__(self, allowed: Callable[[str], bool]) -> None:
        self._allowed = allowed

    def callback(self, _domain: str, key: bytes) -> bool:
        return self._allowed(key.decode())


def refuses_unknown_key(endpoint: str, server_key: str, kind: int = zmq.DEALER) -> bool:
    """Try a key that nobody knows; True when the handshake was refused for it. kind: what may
    connect there."""
    context = zmq.Context()
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    public, secret = zmq.curve_keypair()
    socket.curve_publickey, socket.curve_secretkey = public, secret
    socket.curve_serverkey = server_key.encode()
    events = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    monitor = socket.get_monitor_socket(events)
    try:
        socket.connect(endpoint)
        if not monitor.poll(_ANSWER_MS):
            return False
        event = int.from_bytes(monitor.recv_multipart()[0][:2], "little")
        return event != zmq.EVENT_HANDSHAKE_SUCCEEDED
    finally:
        socket.disable_monitor()
        monitor.close(0)
        socket.close(0)
        context.term()
