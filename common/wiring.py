"""The addresses and keys of the sockets between services, for one process of the mesh.

Between hosts each service has a CURVE key pair: whoever binds takes those services whose place it
is to connect there, and nobody else, be it a participant. Public keys lie in one file that is the
same on all hosts; a secret key only where its service runs.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import zmq
from pydantic import BaseModel, ConfigDict, ValidationError
from rtes.common.config import Config, ConfigError
from rtes.common.connections import TOTAL_MAX, reserve_files
from rtes.common.curve import CurveClient, CurveServer, Reached, refuses_unknown_key
from rtes.common.paths import Paths
from rtes.common.placement import MEMBERS, PORTS_PER_NUMBER, WIRES, bind_host
from rtes.common.secrets import read_private

_PEER_OF: Final = {"health": zmq.PUSH, "matcher": zmq.PUSH, "risk": zmq.PUSH,
                   "feed": zmq.SUB, "riskpub": zmq.SUB, "archive": zmq.DEALER}  # fmt: skip


class MeshKeys(BaseModel):
    """The file of the services' public keys (Z85), by service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: str
    public_keys: dict[str, str]


class Wiring:
    """What an instance of a service binds and connects to. Raises ConfigError when keys that it
    needs are missing, SecretError when others can read its own."""

    def __init__(self, config: Config, service: str, number: int) -> None:
        self._mesh = config.mesh
        self._placement = config.mesh.placement
        self._offset = config.exchange.port_offset
        self._paths = Paths(config)
        self._service = service
        self._number = number
        self._bound: list[tuple[str, str]] = []
        users = [w for w, wire in WIRES.items() if service in (wire.binder, *wire.peers)]
        if any(self._placement.apart(wire) for wire in users):
            self._keys = load_keys(config)
            self._own = _own_pair(self._paths, service)
            reserve_files(TOTAL_MAX)  # strangers may open as many: the journal's must be left

    def bound(self, wire: str) -> tuple[str, CurveServer | None]:
        """Where to bind this instance's own socket of that kind, and who may connect."""
        if not self._placement.apart(wire):
            return self._paths.socket(f"{wire}{self._number}"), None
        host = self._placement.host(self._service, self._number)
        address = f"tcp://{bind_host(host)}:{self._port(wire, self._number)}"
        allowed = frozenset(self._keys[peer] for peer in WIRES[wire].peers)
        self._bound.append((wire, address))
        return address, CurveServer(*self._own, allowed.__contains__, services=True)

    def reached(self, wire: str, number: int) -> Reached:
        """Where that socket of another service is, and the keys to show there."""
        if not self._placement.apart(wire):
            return self._paths.socket(f"{wire}{number}"), None
        binder = WIRES[wire].binder
        address = f"tcp://{self._placement.host(binder, number)}:{self._port(wire, number)}"
        return address, CurveClient(*self._own, self._keys[binder])

    def beside(self, service: str, number: int) -> bool:
        """Whether that one is on the same host, so that its files are here."""
        return self._placement.host(service, number) == self._placement.host(
            self._service, self._number
        )

    def open_doors(self) -> Iterator[str]:
        """The addresses bound here of which it is not shown that an unknown key is refused."""
        for wire, address in self._bound:
            if not refuses_unknown_key(address, self._own[0], _PEER_OF[wire]):
                yield address

    def _port(self, wire: str, number: int) -> int:
        first = self._mesh.base_port + self._offset
        return first + PORTS_PER_NUMBER * number + WIRES[wire].port


def load_keys(config: Config) -> dict[str, str]:
    """The public keys of all services. Raises ConfigError."""
    path = Paths(config).mesh_file
    try:
        file = MeshKeys.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; rtes hosts export, where the exchange was set up, makes "
            f"what another host needs"
        ) from None
    except ValidationError:
        raise ConfigError(f"{path} does not hold the services' public keys") from None
    missing = [service for service in MEMBERS if service not in file.public_keys]
    if missing:
        raise ConfigError(f"{path} has no key of {missing[0]}")
    if config.environment == "prod" and file.environment != "prod":
        raise ConfigError(f"{path} holds keys made for {file.environment}, prod takes its own")
    return file.public_keys


def _own_pair(paths: Paths, service: str) -> tuple[str, str]:
    path = paths.key_file(f"mesh@{service}")
    try:
        text = read_private(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; rtes hosts export makes it") from None
    pair = key_pair(path, text)
    return pair["public_key"], pair["secret_key"]


def key_pair(path: Path, text: str) -> dict[str, str]:
    """A key file's content. Raises ConfigError when it is damaged."""
    with contextlib.suppress(ValueError):
        pair = json.loads(text)
        if isinstance(pair, dict) and pair.keys() >= {"public_key", "secret_key"}:
            return pair
    raise ConfigError(f"{path} does not hold a key pair; restore it from a copy")
