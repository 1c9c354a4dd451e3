"""The snapshotter's files: where it starts, what it saves, which segments nobody needs then."""

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rtes.common import logs
from rtes.common.config import Config
from rtes.common.journal import Point, Reader, first_seq_of, mapped, segments
from rtes.common.records import decode
from rtes.common.refdata import Account, Instrument
from rtes.common.service import Boot
from rtes.common.snapshots import PARTS, Snapshot, Snapshots
from rtes.services.marketdata.core import MarketDataCore
from rtes.services.matcher import state
from rtes.services.matcher.engine import Engine
from rtes.services.risk.rules import Risk
from rtes.services.snapshotter.core import Replicas, SnapshotterCore
from rtes.services.snapshotter.scrub import Scrub


def new_replicas(
    config: Config, instruments: Sequence[Instrument], accounts: Sequence[Account], shard: int
) -> Replicas:
    """At the beginning of the journal, for all accounts."""
    own = [i for i in instruments if i.shard == shard]
    engine = Engine(shard, own, config.exchange.day_end_ns)
    return Replicas(engine, Risk(instruments, accounts), MarketDataCore(engine, own))


def restore(replicas: Replicas, saved: Sequence[Snapshot]) -> None:
    """Take in the parts ENGINE, RISK and MARKET_DATA of a snapshot."""
    engine, risk, market_data = saved
    replicas.engine.restore(state.decode(engine.state))
    replicas.risk.restore(decode(risk.state))
    replicas.market_data.restore(decode(market_data.state), engine.point.seq + 1)


def snapshotter(start: Boot) -> SnapshotterCore:
    """Starts from the newest snapshot that is whole."""
    shard, settings = start.shard, start.config.journal
    directory = start.paths.journal_dir(shard)
    snapshots = Snapshots(start.paths.snapshots_dir(shard))

    def save(at: Point, time_ns: int, parts: Mapping[str, Any]) -> None:
        snapshots.write(at, time_ns, parts)
        if settings.retention == "snapshots":
            remove_unneeded(directory, snapshots.seqs()[0], settings.history_mib << 20)

    replicas = new_replicas(start.config, start.instruments, start.accounts, shard)
    core = SnapshotterCore(
        replicas,
        Reader(directory).blocks_from,
        save,
        settings.snapshot_commands,
        settings.snapshot_interval_s * 1_000_000_000,
        Scrub(directory, from_disk),
    )
    saved = snapshots.newest(*PARTS)
    if saved is not None:
        restore(replicas, saved)
        core.resume(saved[0].point, saved[0].time_ns)
        logs.get().info("recovered", snapshot_seq=saved[0].point.seq)
    return core


def from_disk(path: Path) -> memoryview:
    """The bytes of a segment as they are on the disk, not as the kernel remembers them."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    return mapped(path)


def remove_unneeded(directory: Path, oldest_snapshot: int, history_bytes: int) -> None:
    """Remove the oldest of the segments that end at or before the oldest snapshot kept, until
    those that are left take up no more than history_bytes: who was away is told from them."""
    unneeded = [
        path
        for path, after in pairwise(segments(directory))
        if first_seq_of(after) <= oldest_snapshot + 1
    ]
    size = sum(path.stat().st_size for path in unneeded)
    for path in unneeded:
        if size <= history_bytes:
            return
        size -= path.stat().st_size
        path.unlink()
