"""Operations from other hosts: a CURVE socket, when exchange.control_port names one.

Whoever connects proves to hold a key that the access file knows (`rtes access key NAME`), else
the handshake fails; what it may is looked up for each request. One JSON request a frame, one
answer. The same operations as on the control socket, none on files that a caller names.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any, Final

import zmq
from rtes.common.access import AccessError
from rtes.common.config import ConfigError
from rtes.common.curve import CurveServer, refuses_unknown_key
from rtes.common.errors import OperatorError
from rtes.common.secrets import read_private
from rtes.common.service import server_key_pair
from rtes.common.sockets import Sockets
from rtes.control.desk import Desk
from rtes.control.requests import answer

REQUESTS: Final = 1  # channel (ROUTER)
POLL_MS: Final = 100
CONNECT_S: Final = 5
ANSWER_S: Final = 30


class RemoteControl:
    """Serves one desk; bound when it is made. Raises ConfigError."""

    def __init__(self, desk: Desk) -> None:
        config = desk.config
        pair = server_key_pair(config)
        self._desk = desk
        self._sockets = Sockets()
        curve = CurveServer(pair["public_key"], pair["secret_key"], self._knows)
        endpoint = config.listening("control").control_endpoint
        try:
            self._sockets.router(REQUESTS, endpoint, curve)
        except zmq.ZMQError as error:
            raise ConfigError(f"{endpoint}: {error}; choose another control_port") from None
        if not refuses_unknown_key(endpoint, curve.public_key):
            raise ConfigError(f"{endpoint}: it is not shown that an unknown key is refused")

    def _knows(self, public_key: str) -> bool:
        try:
            return self._desk.access.of_key(public_key) is not None
        except (OperatorError, OSError):
            return False

    def serve(self, stopped: Event) -> None:
        """Until stopped is set."""
        while not stopped.is_set():
            for channel in self._sockets.wait(POLL_MS):
                for routing_id, key, frame in self._sockets.receive(channel):
                    self._sockets.send(channel, routing_id, self._answer(key, frame))
        self._sockets.close()

    def _answer(self, key: str, frame: bytes) -> bytes:
        try:
            actor = self._desk.access.of_key(key)
        except (OperatorError, OSError) as error:
            return json.dumps({"error": str(error)}).encode()
        if actor is None:  # since it connected
            return json.dumps({"error": "this key holds no role any more"}).encode()
        return answer(self._desk, actor, frame)


def ask(file: Path, request: Mapping[str, Any]) -> Any:
    """The answer of the exchange that the key in file is for. Raises OperatorError."""
    try:
        key = json.loads(read_private(file))
        endpoint, server_key = key["endpoint"], key["server_key"]
    except OperatorError:
        raise
    except OSError as error:
        raise AccessError(f"{file}: {error.strerror}; rtes access key makes one") from None
    except (ValueError, KeyError, TypeError):
        raise AccessError(f"{file} is not an operator's key; rtes access key makes one") from None
    with zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.linger = 0
        peer.curve_publickey = key["public_key"].encode()
        peer.curve_secretkey = key["secret_key"].encode()
        peer.curve_serverkey = server_key.encode()
        with peer.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED) as monitor:
            peer.connect(endpoint)
            through = monitor.poll(CONNECT_S * 1_000)
            peer.disable_monitor()
        if not through:
            raise AccessError(f"{endpoint} does not answer, or does not know this key")
        peer.send(json.dumps(request).encode())
        if not peer.poll(ANSWER_S * 1_000):
            raise OperatorError(f"{endpoint} does not answer; whether it was done is not known")
        told = json.loads(peer.recv())
    if "error" in told:
        raise OperatorError(told["error"])
    return told["ok"]
