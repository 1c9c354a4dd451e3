"""Throws frames at a real gateway over real sockets, while somebody else goes on trading.

The exchange runs without CURVE here, so that a ban holds for one connection and not for the key:
every connection that is ended comes back by itself and goes on.
"""

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import zmq
from rtes.client import Client, Rejected
from rtes.client.testing import Mesh
from rtes.common.refusals import Code

from tests.hostile.fuzz import WARM_SHARE, rss_kib
from tests.hostile.mutations import Mutator
from tests.meshes import connect

PX: Final = 58_574  # AAPL's reference price
PEERS: Final = 24  # connections that send
TRADE_FRAMES: Final = 1_000  # between two orders of somebody else
ACCOUNTS: Final = ("DEMO1", "DEMO2", "DEMO3", "NOBODY")  # some bits away from BOT09, who trades


class Peers:
    """The connections that misbehave. answers: frames that came back."""

    def __init__(self, endpoint: str) -> None:
        self.answers = 0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets = [self._context.socket(zmq.DEALER) for _ in range(PEERS)]
        for socket in self._sockets:
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(endpoint)

    def send(self, number: int, frame: bytes) -> None:
        socket = self._sockets[number % PEERS]
        socket.send(frame)
        try:
            while True:
                socket.recv(zmq.NOBLOCK)
                self.answers += 1
        except zmq.Again:
            pass

    def close(self) -> None:
        for socket in self._sockets:
            socket.close(0)
        self._context.term()


def trade(client: Client) -> None:
    """An order and its cancel, unless a frame of the fuzzer's traded with it; raises when they
    are not taken."""
    order = client.buy("AAPL", 1, PX - 2_000)
    try:
        client.cancel(order)
    except Rejected as rejected:
        if rejected.code != Code.TOO_LATE:
            raise


def fuzz_mesh(seed: int, frames: int, ticks: Iterable[int]) -> tuple[dict[str, Any], list[str]]:
    """What happened, and what should not have."""
    began, warm_kib, orders = time.perf_counter(), 0, 0
    warm_at = int(frames * WARM_SHARE)
    with tempfile.TemporaryDirectory() as directory:
        mesh = Mesh(Path(directory), security={"curve": False})
        with mesh, connect(mesh, "BOT09") as client:
            gateway = mesh.processes["gateway"]
            mutator, peers = Mutator(seed, ACCOUNTS, PX), Peers(client.endpoint)
            for i in ticks:
                peers.send(i, mutator.frame())
                if i % TRADE_FRAMES == 0:
                    trade(client)
                    orders += 1
                if i == warm_at:
                    warm_kib = rss_kib(gateway.pid)
            trade(client)
            now_kib = rss_kib(gateway.pid)
            peers.close()
            ended = [s for s, p in mesh.processes.items() if p.poll() is not None]
        logs = {service: mesh.log(service) for service in mesh.services}
    found = [f"{service} ended" for service in ended]
    found += [f"{s}:\n{log}" for s, log in logs.items() if "Traceback" in log]
    return {
        "frames": frames,
        "seed": seed,
        "seconds": round(time.perf_counter() - began, 1),
        "unhandled": len(found),
        "rss_growth_percent": round((now_kib - warm_kib) / warm_kib * 100, 2),
        "rss_kib": now_kib,
        "answers": peers.answers,
        "orders_of_others": orders + 1,
    }, found
