"""One connection to the exchange: a DEALER that proves who it is, and what becomes of it.

ZeroMQ connects again by itself and does not say so; the exchange's session ends with a connection,
though, so the socket's monitor is asked. Frames wait in the session, not in the socket: one that
is handed over goes to a live connection or is lost with it.
"""

from collections.abc import Sequence
from typing import Any, Final

import zmq
from rtes.client.credentials import Credentials
from rtes.common.config import Config, running
from rtes.common.paths import Paths
from zmq.utils.monitor import recv_monitor_message

LINGER_MS: Final = 500
QUEUE_FRAMES: Final = 100_000
_REFUSED: Final = (zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
                   zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)  # fmt: skip
_WATCHED: Final = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CONNECT_RETRIED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | _REFUSED[0]
    | _REFUSED[1]
    | _REFUSED[2]
)


def reach(
    account: str,
    profile: str,
    config: Config | None,
    credentials: Credentials | None,
    endpoint: str | None,
) -> tuple[list[str], Credentials | None]:
    """The gateways to try, and the account's keys. Who gives endpoint and keys needs no
    configuration; else it says what is missing. Raises ConfigError, RtesError."""
    if config is None and (credentials is None or endpoint is None):
        config = running(profile)
    endpoints = [] if endpoint is None else [endpoint]
    if config is not None:
        if credentials is None and config.security.curve:
            credentials = Credentials.of(account, Paths(config))
        numbers = range(config.mesh.gateways)
        endpoints = endpoints or [config.serving("gateway", n).orders_endpoint for n in numbers]
    return endpoints, credentials


def open_socket(endpoint: str, credentials: Credentials | None, context: Any) -> Any:
    """A DEALER connecting to endpoint; credentials are None where the exchange wants none."""
    socket = _new_socket(credentials, context)
    socket.connect(endpoint)
    return socket


def _new_socket(credentials: Credentials | None, context: Any) -> Any:
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 2_000)
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.set_hwm(QUEUE_FRAMES)
    if credentials is not None:
        socket.curve_publickey = credentials.public_key.encode()
        socket.curve_secretkey = credentials.secret_key.encode()
        socket.curve_serverkey = credentials.server_key.encode()
    return socket


class Connection:
    """A socket and its monitor."""

    def __init__(self, endpoint: str, credentials: Credentials | None) -> None:
        self.endpoint = endpoint
        self.socket = _new_socket(credentials, zmq.Context.instance())
        self._trouble = ""  # why it cannot connect, as far as is known
        self._monitor = self.socket.get_monitor_socket(_WATCHED)
        self.socket.connect(endpoint)  # only now: a refused key is told once, and at once

    def no_answer(self, timeout_s: float, silent: Sequence[int]) -> str:
        """What to tell the user of a logon without an answer; silent: of these matcher shards."""
        trouble = self._trouble or "is the exchange ready? See `rtes status`"
        if silent:
            trouble = f"matcher shard {', '.join(map(str, silent))} is silent. See `rtes status`"
        return f"no answer from {self.endpoint} within {timeout_s:g} s: {trouble}"

    def was_lost(self) -> bool:
        """Whether the connection went away since the last call."""
        lost = False
        while zmq.zmq_poll([(self._monitor, zmq.POLLIN)], 0):
            event = recv_monitor_message(self._monitor)["event"]
            if event == zmq.EVENT_DISCONNECTED:
                lost = True
            elif event == zmq.EVENT_CONNECT_RETRIED:
                self._trouble = "is the exchange running (scripts/start.sh)? Nothing listens there"
            elif event in _REFUSED:
                self._trouble = "the key is not one of this exchange, or was revoked"
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._trouble = ""
        return lost

    def send(self, frame: bytes) -> bool:
        """False when no connection takes it now."""
        try:
            self.socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self) -> list[bytes]:
        """All frames that wait."""
        frames: list[bytes] = []
        try:
            while True:
                frames.append(self.socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            return frames

    def close(self) -> None:
        """What was sent gets LINGER_MS to leave, in the background."""
        if not self.socket.closed:
            self.socket.disable_monitor()
            self._monitor.close(0)
            self.socket.close(LINGER_MS)
