"""`rtes journal`: what the exchange wrote down, checked, shown and executed again.

All of it reads the files, of a running exchange too, and changes nothing. Another machine needs
the run directory (journal, snapshots, accounts.json), the configuration and the same release.
"""

import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import Progress
from rtes.common.config import Config
from rtes.common.errors import OperatorError
from rtes.common.invariant import InvariantError
from rtes.common.journal import BEGINNING, Point, Reader, segments
from rtes.common.journal_check import check
from rtes.common.moves import decode_moves
from rtes.common.paths import Paths
from rtes.common.records import Block, decode_block, decode_reports
from rtes.common.refdata import load_accounts, load_instruments
from rtes.common.service import check_instance
from rtes.common.snapshots import ENGINE, PARTS, SnapshotError, Snapshots
from rtes.common.storage import EXIT_JOURNAL_CORRUPT
from rtes.control.cli_common import Operator, operator
from rtes.services.matcher import state
from rtes.services.snapshotter.core import Replicas
from rtes.services.snapshotter.shell import new_replicas, restore

FOLLOW_S: Final = 0.2
_shard = click.option("--shard", default=0, show_default=True, help="Which matcher's.")


@click.group()
def journal() -> None:
    """Check, show and execute again what the matcher wrote down."""


def _directory(config: Config, shard: int) -> Path:
    check_instance(config, "matcher", shard)
    directory = Paths(config).journal_dir(shard)
    if not segments(directory):
        raise OperatorError(f"{directory} holds no journal; was this exchange ever started?")
    return directory


def _progress(op: Operator) -> Progress:
    return Progress(console=Console(stderr=True), transient=True, disable=op.as_json)


@journal.command()
@operator()
@_shard
def verify(op: Operator, shard: int) -> None:
    """Check every byte of the journal and of the snapshots; exit code 71 when one is wrong."""
    directory = _directory(op.config, shard)
    with _progress(op) as progress:
        total = len(segments(directory))
        steps = progress.track(check(directory), total, description="checking")
        found = list(steps)[-1]
    snapshots, damage = _readable_snapshots(op.config, shard)
    damage = found.damage or damage
    value = {**found._asdict(), "snapshots": snapshots, "damage": damage}
    text = (
        f"{found.segments} segments, {found.blocks} blocks, sequence numbers {found.first_seq} to "
        f"{found.last_seq}, {found.epochs} starts of the matcher, snapshots at "
        f"{', '.join(map(str, snapshots)) or 'none'}"
    )
    if found.torn_bytes:
        text += f"; a torn block of {found.torn_bytes} bytes at the end will be cut off"
    op.emit(value, f"{text}\n{damage or 'all of it is whole'}")
    if damage:
        sys.exit(EXIT_JOURNAL_CORRUPT)


def _readable_snapshots(config: Config, shard: int) -> tuple[list[int], str]:
    snapshots = Snapshots(Paths(config).snapshots_dir(shard))
    damage = ""
    good = []
    for seq in snapshots.seqs():
        try:
            for part in PARTS:
                snapshots.read(seq, part)
            good.append(seq)
        except SnapshotError as error:
            damage = str(error)
    return good, damage


@journal.command()
@operator()
@_shard
@click.option("--from", "first", default=1, help="First sequence number.")
@click.option("--to", "last", default=2**63, help="Last one.")
def dump(op: Operator, shard: int, first: int, last: int) -> None:
    """Print blocks as JSON, one a line: the commands, and what was told to whom."""
    for stored, payload in Reader(_directory(op.config, shard)).blocks_from(first):
        if stored.first_seq > last:
            return
        _print(payload)


@journal.command()
@operator()
@_shard
@click.option("--blocks", "count", type=click.IntRange(min=0), default=10, show_default=True,
              help="How many from the end.")  # fmt: skip
@click.option("--follow", is_flag=True, help="Go on as blocks are written.")
def tail(op: Operator, shard: int, count: int, follow: bool) -> None:
    """Print the last blocks as `dump` does."""
    reader = Reader(_directory(op.config, shard))
    last: deque[bytes] = deque(maxlen=count)
    next_seq = reader.last_segment_seq
    for stored, payload in reader.blocks_from(next_seq):
        last.append(payload)
        next_seq = stored.first_seq + stored.commands
    for payload in last:
        _print(payload)
    while follow:
        time.sleep(FOLLOW_S)
        for stored, payload in reader.blocks_from(next_seq):
            _print(payload)
            next_seq = stored.first_seq + stored.commands


def _print(payload: bytes) -> None:
    click.echo(json.dumps(_readable(decode_block(payload))))


def _readable(block: Block) -> dict[str, Any]:
    commands = [
        {"seq": seq, "command": command, "verdict": verdict}
        for seq, (command, verdict) in enumerate(_commands(block), block.first_seq)
    ]
    told = [
        {"account": account, "reports": decode_reports(data), "moves": decode_moves(moves)}
        for account, _first, _count, _answered, data, moves in block.chunks
    ]
    head = {"epoch": block.epoch, "first_seq": block.first_seq, "time_ns": block.time_ns}
    return {**head, "commands": commands, "told": told, "notices": block.notices}


def _commands(block: Block) -> Iterator[tuple[Any, Any]]:
    for group in block.groups:
        refused = {verdict[0]: verdict[1:] for verdict in group[5]}
        for i, command in enumerate(group[4]):
            yield command, refused.get(i)


class _Run:
    """A replica that is brought along the journal."""

    def __init__(self, config: Config, shard: int) -> None:
        shards = config.mesh.matcher_shards
        instruments = load_instruments(config.exchange.instruments, shards).instruments
        accounts = load_accounts(Paths(config).accounts_file).accounts
        self._reader = Reader(_directory(config, shard))
        self.snapshots = Snapshots(Paths(config).snapshots_dir(shard))
        self.replicas: Replicas = new_replicas(config, instruments, accounts, shard)
        self.at = BEGINNING
        self.commands = 0

    def start_from(self, seq: int) -> None:
        """From the snapshot at seq."""
        saved = [self.snapshots.read(seq, part) for part in PARTS]
        restore(self.replicas, saved)
        self.at = saved[0].point

    def start(self) -> None:
        """From the beginning, or where what is kept begins."""
        kept_from = self._reader.first_seq
        if kept_from > 1:
            usable = [seq for seq in self.snapshots.seqs() if seq >= kept_from - 1]
            if not usable:
                raise OperatorError(
                    f"the journal begins at {kept_from}, and no snapshot is from there on"
                )
            self.start_from(usable[0])

    @property
    def left(self) -> int:
        return max(0, self._reader.last_seq - self.at.seq)

    def go(self, last: int) -> Iterator[int]:
        """Execute up to last; yields how many commands each block had. Raises OperatorError."""
        for stored, payload in self._reader.blocks_from(self.at.seq + 1):
            if stored.first_seq + stored.commands - 1 > last:
                return
            try:
                self.replicas.execute(payload)
            except InvariantError as error:
                raise OperatorError(f"replay diverged: {error}") from None
            self.at = Point(stored.first_seq + stored.commands - 1, stored.crc)
            self.commands += stored.commands
            yield stored.commands


@journal.command()
@operator()
@_shard
@click.option("--to", "last", default=2**63, help="Last sequence number to execute.")
def replay(op: Operator, shard: int, last: int) -> None:
    """Execute the journal again, compare every outcome and every snapshot on the way, and print
    the hash of the state at the end.

    It begins at the oldest snapshot when the beginning of the journal was removed."""
    run = _Run(op.config, shard)
    run.start()
    began, compared = time.perf_counter(), 0
    snapshots = set(run.snapshots.seqs())
    with _progress(op) as progress:
        task = progress.add_task("replaying", total=run.left)
        for commands in run.go(last):
            progress.advance(task, commands)
            if run.at.seq in snapshots:
                _compare(run)
                compared += 1
    seconds = time.perf_counter() - began
    digest = run.replicas.engine.digest().hex()
    value = {
        "seq": run.at.seq,
        "commands": run.commands,
        "snapshots_compared": compared,
        "digest": digest,
        "seconds": round(seconds, 3),
    }
    rate = run.commands / seconds if seconds else 0
    op.emit(
        value,
        f"{run.commands} commands executed again ({rate:,.0f}/s), every outcome the same, "
        f"{compared} snapshots compared\nstate after {run.at.seq}: {digest}",
    )


def _compare(run: _Run) -> None:
    saved = state.decode(run.snapshots.read(run.at.seq, ENGINE).state)
    if state.digest(saved) != run.replicas.engine.digest():
        raise OperatorError(f"the snapshot at {run.at.seq} is not what the journal leads to")


@journal.command()
@operator()
@_shard
def digest(op: Operator, shard: int) -> None:
    """Print the hash of the state at the end of the journal, from the newest snapshot on."""
    run = _Run(op.config, shard)
    newest = run.snapshots.newest(*PARTS)
    if newest is not None:
        run.start_from(newest[0].point.seq)
    with _progress(op) as progress:
        task = progress.add_task("executing the tail", total=run.left)
        for commands in run.go(2**63):
            progress.advance(task, commands)
    digest = run.replicas.engine.digest().hex()
    op.emit({"seq": run.at.seq, "digest": digest}, f"state after {run.at.seq}: {digest}")
