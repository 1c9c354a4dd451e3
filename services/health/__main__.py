"""The health process: hears the services' snapshots and answers probes over HTTP.

Exit code: 64 configuration.
"""

import signal
import sys
from importlib.metadata import version
from typing import Final

from rtes.common import service
from rtes.common.httpserver import ServerThread, Site
from rtes.common.sockets import Sockets
from rtes.common.tls import ClientCertificates, tls_context
from rtes.services.health.shell import POLL_MS, Aggregator, instance_of, reader_keys

SNAPSHOTS: Final = 1  # channel: what the services say of themselves
BOOKS: Final = 2  # channel: the requests of matcher shard 0's market data


def main() -> int:
    start = service.boot("health")
    config, clock = start.config, start.clock
    instance = instance_of(config, version("rtes"), clock.wall_ns())
    aggregator = Aggregator(config, start.instruments, clock, instance)
    sockets = Sockets()
    sockets.pull(SNAPSHOTS, *start.wiring.bound("health"))
    keys, shards = reader_keys(config, start.paths), range(config.mesh.matcher_shards)
    for shard in shards:
        sockets.dealer(BOOKS + shard, config.serving("marketdata", shard).snapshots_endpoint, keys)
    own = config.listening("health")
    tls = service.usable("health", tls_context, config)
    token = config.security.http_token
    streams = {"/events": aggregator.event}
    asks = tls is not None and config.security.tls_client_auth
    lacks = ClientCertificates(config).lacks if asks else None
    site = Site(aggregator.answer, streams, token.get_secret_value() if token else None, lacks)
    try:
        ServerThread(site, own.host, own.ports["http"], tls)
    except OSError as error:
        print(f"health: port {own.ports['http']}: {error}", file=sys.stderr)
        return service.EXIT_CONFIG
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    start.try_doors()
    beat = start.heartbeat()
    while True:
        beat()
        heard = {channel: sockets.receive(channel) for channel in sockets.wait(POLL_MS)}
        aggregator.poll(heard.get(SNAPSHOTS, []))
        for shard in shards:
            aggregator.take_books(heard.get(BOOKS + shard, []))
        for shard, request in aggregator.books_wanted():
            sockets.send(BOOKS + shard, None, request)


if __name__ == "__main__":
    sys.exit(main())
