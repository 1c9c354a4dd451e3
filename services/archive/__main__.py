"""The archive's process: reads the journal beside the matcher and answers for it.

Exit code: 64 configuration.
"""

import sys
from collections.abc import Iterator

from rtes.common import feed, service
from rtes.common.journal import Reader
from rtes.common.snapshots import Snapshots
from rtes.services.archive.core import FEED, REQUESTS, ArchiveCore


def main() -> int:
    start = service.boot("archive")
    shard, paths = start.shard, start.paths
    reader = Reader(paths.journal_dir(shard))

    def blocks_from(seq: int) -> Iterator[tuple[int, int, int, bytes]]:
        for block, payload in reader.blocks_from(seq):
            yield block.epoch, block.first_seq, block.commands, payload

    snapshots = Snapshots(paths.snapshots_dir(shard))
    core = ArchiveCore(shard, blocks_from, lambda: reader.first_seq, snapshots)
    sockets = start.sockets()
    topics = [feed.TOPIC_BLOCK, feed.TOPIC_STATUS]
    sockets.subscribe(FEED, [start.wiring.reached("feed", shard)], topics)
    sockets.router(REQUESTS, *start.wiring.bound("archive"))
    start.loop(core, sockets, rest=core.rest).run()
    sockets.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
