"""The market data publisher's process: a replica of the matcher that tells what it sees.

Exit code: 64 configuration.
"""

import sys

import zmq
from rtes.common import feed, logs, process, service
from rtes.common.heartbeat import PATIENT_S
from rtes.common.records import decode
from rtes.common.snapshots import ENGINE, MARKET_DATA
from rtes.services.marketdata import shell
from rtes.services.marketdata.core import MarketDataCore
from rtes.services.matcher import state
from rtes.services.matcher.engine import Engine

SUBSCRIBER_FRAMES_MAX = 10_000  # wait for a slow subscriber; it misses and asks for the rest
ANSWER_FRAMES_MAX = 256  # wait for one who asks and does not read; a snapshot has fewer


def main() -> int:
    start = service.boot("marketdata")
    service.freeze_heap()
    process.yield_to_all()  # orders come first: under full load it falls behind
    shard, config = start.shard, start.config
    instruments = [i for i in start.instruments if i.shard == shard]
    engine = Engine(shard, instruments, config.exchange.day_end_ns)
    published = MarketDataCore(engine, instruments)
    core = shell.MarketDataShell(shard, published)
    saved = start.newest_snapshot(shard, ENGINE, MARKET_DATA)
    if saved is not None:
        engine.restore(state.decode(saved[0].state))
        published.restore(decode(saved[1].state), saved[1].point.seq + 1)
        core.resume(saved[1].point.seq)
        logs.get().info("recovered", snapshot_seq=saved[1].point.seq)
    curve = start.curve_server()
    sockets = start.sockets(shell.BATCH_BYTES_MAX)
    exchange = config.listening("marketdata", shard)
    endpoint = exchange.market_data_endpoint
    sockets.publish(shell.PUBLISH, endpoint, curve, SUBSCRIBER_FRAMES_MAX, tell_wanted=True)
    sockets.router(shell.REQUESTS, exchange.snapshots_endpoint, curve, ANSWER_FRAMES_MAX)
    start.try_door(exchange.market_data_endpoint, curve, zmq.SUB)
    start.try_door(exchange.snapshots_endpoint, curve, zmq.DEALER)
    start.on_lost_key(sockets, shell.PUBLISH, shell.REQUESTS)
    topics = [feed.TOPIC_BLOCK, feed.TOPIC_STATUS]
    sockets.subscribe(shell.FEED, [start.wiring.reached("feed", shard)], topics)
    sockets.dealer(shell.REPLAY, *start.wiring.reached("archive", shard))
    start.loop(core, sockets, beat_counts_s=PATIENT_S, rest=core.rest).run()
    sockets.close(linger_ms=200)
    return 0


if __name__ == "__main__":
    sys.exit(main())
