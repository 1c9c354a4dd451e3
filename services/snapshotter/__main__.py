"""The snapshotter's process: a replica of one matcher shard that saves its state.

Exit code: 64 configuration.
"""

import sys

from rtes.common import feed, logs, process, service
from rtes.common.heartbeat import PATIENT_S
from rtes.services.snapshotter import shell
from rtes.services.snapshotter.core import FEED


def main() -> int:
    start = service.boot("snapshotter")
    service.freeze_heap()
    process.yield_to_all()  # it may fall behind: then a start replays more
    core = shell.snapshotter(start)
    sockets = start.sockets()
    feeds = [start.wiring.reached("feed", start.shard)]
    sockets.subscribe(FEED, feeds, [feed.TOPIC_STATUS])
    start.loop(core, sockets, beat_counts_s=PATIENT_S, rest=core.rest).run()
    core.end()
    logs.write(core.vitals().events)
    sockets.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
