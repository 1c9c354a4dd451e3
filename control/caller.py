"""Asking for an operation: here when the exchange's files are ours, else over its control socket.

Either way the identity is the user that the kernel says this process runs as.
"""

import json
import os
import socket
from collections.abc import Mapping
from typing import Any, Final

from rtes.common.access import AccessError
from rtes.common.config import Config
from rtes.common.errors import OperatorError
from rtes.common.paths import Paths
from rtes.control.desk import Desk, local_identity
from rtes.control.operations import OPERATIONS, SHARED
from rtes.control.server import REQUEST_S_MAX, peer_uid

_CHUNK_BYTES: Final = 65_536


def perform(
    config: Config, name: str, arguments: Mapping[str, Any], reason: str = "", source: str = ""
) -> Any:
    """The operation's answer; source is where config is from. Raises OperatorError, OSError."""
    run_dir = Paths(config).run_dir
    existing = next(p for p in (run_dir, *run_dir.parents) if p.exists())
    if os.access(existing, os.W_OK | os.X_OK):
        os.umask(0o077)
        desk = Desk(config, OPERATIONS, source)
        return desk.perform(local_identity(), name, arguments, reason)
    if name not in SHARED:
        raise AccessError(f"{name} is for the owner of {run_dir}, which this user is not")
    return _ask(config, {"operation": name, "arguments": dict(arguments), "reason": reason})


def _ask(config: Config, request: Mapping[str, Any]) -> Any:
    paths = Paths(config)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(REQUEST_S_MAX)
        try:
            connection.connect(str(paths.control_socket))
        except OSError as error:
            raise OperatorError(
                f"{paths.control_socket}: {error.strerror}; is the exchange running?"
            ) from None
        if peer_uid(connection) != paths.run_dir.stat().st_uid:
            raise AccessError(f"{paths.control_socket} is served by another user than the owner")
        connection.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(_read(connection))
    if "error" in answer:
        raise OperatorError(answer["error"])
    return answer["ok"]


def _read(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(_CHUNK_BYTES):
        parts.append(part)
    return b"".join(parts)
