"""The gateway's process. It is not ready before it has shown that it refuses an unknown key.

Exit code: 64 configuration.
"""

import sys

from rtes.common import feed, service
from rtes.common.curve import refuses_unknown_key
from rtes.common.live import LiveFlags, LiveThrottle
from rtes.common.riskwire import TOPIC_STATUS, answer_topic
from rtes.common.sockets import BATCH_BYTES_MAX
from rtes.services.gateway import core as gateway
from rtes.services.gateway.door import account_finder
from rtes.services.gateway.limits import GatewayLimits


def main() -> int:
    start = service.boot("gateway")
    shard, config, paths, mesh = start.shard, start.config, start.paths, start.config.mesh
    curve = start.curve_server()
    limits = GatewayLimits.of(config.session)
    start.live.on_change(lambda new: limits.reload(new.session))
    LiveThrottle(paths.throttle_file, limits.throttle, start.live)
    flags = LiveFlags(paths.flags_file, config, start.live)
    core = gateway.GatewayCore(
        shard, start.epoch, start.instruments, start.roster.find,
        account_finder(start.roster.find, check_keys=curve is not None), limits,
        mesh.risk_shards, mesh.matcher_shards, flags.flags,
    )  # fmt: skip
    flags.on_change(core.flags_changed)
    sockets, reached = start.sockets(BATCH_BYTES_MAX), start.wiring.reached
    endpoint = config.listening("gateway", shard).orders_endpoint
    core.market_data = config.market_data_endpoints
    sockets.router(gateway.CLIENTS, endpoint, curve, tell_lost=True)
    core.refuses_unknown_keys = curve is None or refuses_unknown_key(endpoint, curve.public_key)
    feeds = [reached("feed", m) for m in range(mesh.matcher_shards)]
    sockets.subscribe(gateway.FEED, feeds, [feed.TOPIC_BLOCK, feed.TOPIC_STATUS])
    for m in range(mesh.matcher_shards):
        sockets.dealer(gateway.ARCHIVE + m, *reached("archive", m))
    statuses = [reached("riskpub", r) for r in range(mesh.risk_shards)]
    sockets.subscribe(gateway.RISK_STATUS, statuses, [TOPIC_STATUS, answer_topic(shard)])
    for r in range(mesh.risk_shards):
        sockets.push(gateway.RISK + r, *reached("risk", r))
    stopped = paths.run_dir / "locks" / f"gateway{shard}" / "stopped"  # the last one, as planned
    core.take_over(stopped.exists(), start.clock.wall_ns())
    stopped.unlink(missing_ok=True)
    service.freeze_heap()
    loop = start.loop(core, sockets, undelivered=core.undelivered)
    loop.run()
    stopped.touch()
    core.goodbye(start.clock.monotonic_ns())
    loop.step(0)
    sockets.close(linger_ms=500)
    return 0


if __name__ == "__main__":
    sys.exit(main())
