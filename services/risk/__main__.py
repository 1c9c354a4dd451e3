"""The risk process of one account shard.

Exit code: 64 configuration.
"""

import sys

from rtes.common import feed, logs, service
from rtes.common.records import decode
from rtes.common.snapshots import RISK
from rtes.common.sockets import BATCH_BYTES_MAX
from rtes.services.risk import core as risk
from rtes.services.risk.rules import Risk


def main() -> int:
    start = service.boot("risk")
    service.freeze_heap()
    shard, mesh, wiring = start.shard, start.config.mesh, start.wiring
    rules = Risk(start.instruments, start.accounts, shard, mesh.risk_shards, start.late_account)
    start.limits.on_change(rules.limit)
    core = risk.RiskCore(shard, start.epoch, rules, range(mesh.matcher_shards))
    for m in range(mesh.matcher_shards):
        for saved in start.newest_snapshot(m, RISK) or ():
            rules.restore(decode(saved.state))
            core.resume(m, saved.point.seq)
            logs.get().info("recovered", feed=m, snapshot_seq=saved.point.seq)
    sockets = start.sockets(BATCH_BYTES_MAX)
    sockets.pull(risk.COMMANDS, *wiring.bound("risk"))
    sockets.publish(risk.STATUS, *wiring.bound("riskpub"))
    feeds = [wiring.reached("feed", m) for m in range(mesh.matcher_shards)]
    sockets.subscribe(risk.FEED, feeds, [feed.TOPIC_BLOCK, feed.TOPIC_STATUS])
    for m in range(mesh.matcher_shards):
        sockets.push(risk.MATCHER + m, *wiring.reached("matcher", m))
        sockets.dealer(risk.REPLAY + m, *wiring.reached("archive", m))
    start.loop(core, sockets).run()
    sockets.close(linger_ms=200)
    return 0


if __name__ == "__main__":
    sys.exit(main())
