"""The limit of this shape: the same processes and sockets, passing frames through, no work.

    python -m benchmarks.null_mesh [the options of benchmarks.mesh]

A client's frame goes gateway (ROUTER under CURVE), risk, matcher, and back over the feed (PUB),
which risk and market data receive too. Each process forwards all that waited as one frame, on the
cores that the exchange would have. What remains is sockets, encryption, wake-ups and one slice per
frame in the gateway.
"""

import json
import struct
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final

import zmq
from rtes.client.testing import free_port
from rtes.common import process
from rtes.common.config import load
from rtes.common.curve import CurveServer
from rtes.common.sockets import Sockets
from rtes.common.topology import layout_here

ROLES: Final = ("matcher", "risk", "gateway", "marketdata")
IN: Final = 1
OUT: Final = 2
FEED: Final = 3
HEAD: Final = struct.Struct(">5sI")  # routing id, length of the frame that follows


def gateway(sockets: Sockets, spec: dict[str, str]) -> None:
    """Frames of clients to risk, each with who sent it; what comes back, to each its own."""
    curve = CurveServer(spec["public"], spec["secret"], lambda _key: True)
    sockets.router(IN, spec["endpoint"], curve)
    sockets.push(OUT, spec["ipc"] + "risk")
    sockets.subscribe(FEED, [(spec["ipc"] + "feed", None)], [b""])
    while True:
        for channel in sockets.wait(1_000):
            if channel == IN:
                parts: list[bytes] = []
                for routing_id, _user, frame in sockets.receive(IN):
                    parts += (HEAD.pack(routing_id, len(frame)), frame)
                if parts:
                    sockets.send(OUT, None, b"".join(parts))
            else:
                answer(sockets, sockets.receive(FEED))


def answer(sockets: Sockets, frames: list[bytes]) -> None:
    """One frame for each client with all that is for it."""
    told: dict[bytes, list[bytes]] = {}
    for frame in frames:
        at = 0
        while at < len(frame):
            routing_id, length = HEAD.unpack_from(frame, at)
            at += HEAD.size + length
            told.setdefault(routing_id, []).append(frame[at - length : at])
    for routing_id, parts in told.items():
        sockets.send(IN, routing_id, b"".join(parts))


def forward(sockets: Sockets) -> None:
    """All that waited at IN as one frame to OUT; the feed is only received."""
    while True:
        for channel in sockets.wait(1_000):
            frames = sockets.receive(channel)
            if channel == IN:
                sockets.send(OUT, None, b"".join(frames))


def run(role: str, spec: dict[str, str]) -> None:
    sockets, ipc = Sockets(), spec["ipc"]
    if role == "gateway":
        gateway(sockets, spec)
    elif role == "matcher":
        sockets.pull(IN, ipc + "matcher")
        sockets.publish(OUT, ipc + "feed")
    else:
        sockets.subscribe(FEED, [(ipc + "feed", None)], [b""])
        if role == "risk":
            sockets.pull(IN, ipc + "risk")
            sockets.push(OUT, ipc + "matcher")
    forward(sockets)


class NullMesh:
    """Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        public, secret = (key.decode() for key in zmq.curve_keypair())
        own, own_secret = (key.decode() for key in zmq.curve_keypair())
        self.endpoint = f"tcp://127.0.0.1:{free_port()}"
        self._spec = {
            "endpoint": self.endpoint, "ipc": f"ipc://{directory}/", "public": public,
            "secret": secret,
        }  # fmt: skip
        self.key_file = directory / "client.json"
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(
            json.dumps({"account": "NULL", "public_key": own, "secret_key": own_secret,
                        "server_key": public})
        )  # fmt: skip
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "NullMesh":
        command = [sys.executable, "-m", "rtes.benchmarks.null_mesh", "--role"]
        for role in ROLES:
            self.processes[role] = subprocess.Popen([*command, role, json.dumps(self._spec)])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        for started in self.processes.values():
            started.kill()
            started.wait()


def main() -> None:
    if sys.argv[1:2] == ["--role"]:
        process.die_with_parent()
        process.pin(getattr(layout_here(load("dev", {})), sys.argv[2]), "mesh.pin")
        if sys.argv[2] == "marketdata":
            process.yield_to_all()  # as the exchange's
        run(sys.argv[2], json.loads(sys.argv[3]))
    else:
        from rtes.benchmarks.mesh import null_main  # noqa: PLC0415 - a cycle: mesh needs us

        null_main()


if __name__ == "__main__":
    main()
