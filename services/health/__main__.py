"""The health process: hears the services' snapshots and answers probes over HTTP.

Exit code: 64 configuration.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from rtes.common import service
from rtes.common.clock import Clock
from rtes.common.sockets import Sockets
from rtes.common.tls import tls_context
from rtes.services.health.core import Health, expected_services
from rtes.services.health.http import serve_beside
from rtes.services.health.views import Response, respond

SNAPSHOTS: Final = 1
POLL_S: Final = 0.1


async def _poll(health: Health, sockets: Sockets, clock: Clock) -> None:
    while True:
        frames = [f for channel in sockets.wait(0) for f in sockets.receive(channel)]
        health.poll(frames, clock.monotonic_ns())
        await asyncio.sleep(POLL_S)


def main() -> int:
    start = service.boot("health")
    clock, exchange = start.clock, start.config.exchange
    instance = {
        "version": version("rtes"),
        "environment": start.config.environment,
        "durability": start.config.journal.durability,
        "pid": os.getpid(),
        "start_time": datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC).isoformat(),
    }
    health = Health(expected_services(start.config), clock.monotonic_ns())

    def answer(path: str) -> Response:
        return respond(path, health.report(clock.monotonic_ns()), instance)

    sockets = Sockets()
    sockets.pull(SNAPSHOTS, start.paths.socket("health"))
    poll = _poll(health, sockets, clock)
    tls = service.usable("health", tls_context, start.config)
    asyncio.run(serve_beside(poll, answer, exchange.host, exchange.ports["http"], tls))
    sockets.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
