"""The matcher's process: lock the journal, recover from it, then match.

Exit codes: 64 configuration, 70 another matcher has the journal, 71 the journal is damaged.
"""

import sys

from rtes.common import service, storage
from rtes.common.journal import Journal, JournalCorruptError
from rtes.common.loop import Loop
from rtes.services.matcher.core import COMMANDS, FEED, MatcherCore
from rtes.services.matcher.engine import Engine
from rtes.services.matcher.recovery import ReplayDivergedError, recover


def main() -> int:
    start = service.boot("matcher")
    shard, config = start.shard, start.config
    directory = start.paths.journal_dir(shard)
    try:
        lock = storage.lock(directory)
    except storage.AlreadyRunningError as error:
        print(f"matcher: {error}", file=sys.stderr)
        return storage.EXIT_ALREADY_RUNNING
    epoch = storage.next_epoch(directory)
    instruments = [i for i in start.instruments if i.shard == shard]
    names = {a.name: a.id for a in start.accounts}
    core = MatcherCore(
        shard, epoch, Engine(shard, instruments, config.exchange.day_end_ns, names)
    )
    interval_ns = config.journal.sync_interval_ns
    journal = Journal(directory, shard, config.journal.segment_mib << 20, interval_ns)
    try:
        commands = recover(core, journal.recover())
    except (JournalCorruptError, ReplayDivergedError) as error:
        print(f"matcher: {error}", file=sys.stderr)
        return storage.EXIT_JOURNAL_CORRUPT
    print(f"matcher {shard}: epoch {epoch}, {commands} commands replayed", flush=True)
    sockets = start.sockets()
    sockets.pull(COMMANDS, start.paths.socket(f"matcher{shard}"))
    sockets.publish(FEED, start.paths.socket(f"feed{shard}"))
    service.freeze_heap()

    def commit() -> None:
        if core.pending is not None:
            journal.append(epoch, *core.pending)
            core.pending = None
        journal.sync(start.clock.monotonic_ns())

    Loop(core, sockets, start.clock, "matcher", shard, commit).run()
    sockets.close(linger_ms=200)
    del lock
    return 0


if __name__ == "__main__":
    sys.exit(main())
