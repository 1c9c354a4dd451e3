"""Makes journals and snapshots for benchmarks, with the code that makes them in production.

A journal holds what the matcher would have written: every block is executed by its core and
appended by its writer. A snapshot is what the snapshotter's replicas come to from those blocks.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rtes.benchmarks.flows import CENTER, SHAPES, SYMBOLS, Flow
from rtes.common import link, storage
from rtes.common.config import Config
from rtes.common.journal import BEGINNING, Journal, Point, Reader
from rtes.common.paths import Paths
from rtes.common.records import C_RECEIVED_NS, Command, encode
from rtes.common.refdata import load_accounts, load_instruments
from rtes.common.snapshots import ENGINE, Snapshots
from rtes.services.matcher.core import COMMANDS, MatcherCore
from rtes.services.matcher.engine import Engine
from rtes.services.matcher.shell import Writer
from rtes.services.snapshotter.shell import new_replicas

BATCH: Final = 64
ACCOUNTS: Final = 25
PART: Final = BATCH * 256
Progress = Callable[[int], None]  # called with how many commands more are done


def instruments_file(directory: Path) -> Path:
    """A file that lists what the flows trade."""
    path = directory / "instruments.json"
    rows = [{"symbol": s, "reference_price": CENTER} for s in SYMBOLS]
    path.write_text(json.dumps({"instruments": rows}))
    return path


def write_journal(
    config: Config, commands: int, snapshot_at: int, seed: int, progress: Progress
) -> None:
    """A flow of orders, cancels, replaces and trades of 25 accounts, in blocks of 64 commands;
    on the way, unless snapshot_at is 0, a snapshot of the engine alone after so many commands or
    a few more."""
    directory = Paths(config).journal_dir(0)
    lock = storage.lock(directory)
    epoch = storage.next_epoch(directory)
    instruments = load_instruments(config.exchange.instruments).instruments
    engine = Engine(0, instruments, config.exchange.day_end_ns)
    core = MatcherCore(0, epoch, engine)
    journal = Journal(directory, 0, config.journal.segment_mib << 20, None)
    for _ in journal.recover():
        raise RuntimeError(f"{directory} is not empty")
    writer = Writer(core, journal, epoch)
    flow = Flow(SHAPES["normal"], commands, seed, ACCOUNTS)
    n = 0
    for at in range(0, commands, PART):
        part = flow.commands(min(PART, commands - at))
        for start in range(0, len(part), BATCH):
            _execute(core, part[start : start + BATCH], n)
            writer.commit()
            n += 1
            if core.next_seq - BATCH <= snapshot_at < core.next_seq:
                snapshots = Snapshots(Paths(config).snapshots_dir(0))
                snapshots.write(journal.end, time.time_ns(), {ENGINE: engine.state()})
        progress(len(part))
    journal.close()
    os.close(lock)


def _execute(core: MatcherCore, commands: list[Command], n: int) -> None:
    """One frame of risk, as large as a block."""
    now_ns = time.time_ns()
    stamped = [(*c[:C_RECEIVED_NS], now_ns, *c[C_RECEIVED_NS + 1 :]) for c in commands]
    groups = encode([(0, 1, 0, n, encode(stamped), [])])
    core.receive(COMMANDS, [link.HEADER.pack(0, 1, 0, n) + groups], now_ns, now_ns)
    core.flush(now_ns, now_ns)
    core.outbox.clear()


def write_snapshot(config: Config, up_to: int, progress: Progress) -> Point:
    """A snapshot of all parts after the last block that ends at or before up_to."""
    paths = Paths(config)
    instruments = load_instruments(config.exchange.instruments).instruments
    accounts = load_accounts(paths.accounts_file).accounts
    replicas = new_replicas(config, instruments, accounts, 0)
    at, time_ns = BEGINNING, 0
    for stored, payload in Reader(paths.journal_dir(0)).blocks_from(1):
        last_seq = stored.first_seq + stored.commands - 1
        if last_seq > up_to:
            break
        time_ns = replicas.execute(payload)
        at = Point(last_seq, stored.crc)
        progress(stored.commands)
    Snapshots(paths.snapshots_dir(0)).write(at, time_ns, replicas.parts())
    return at
