"""The matcher's disk: every block is written before it is told, and what stops the matcher twice
is known to the third.

A full disk: while there is room only cancels are taken; when there is none the block in hand
waits, nothing is told, and all goes on by itself when space returns. An error of the disk ends
the process: it is never tried again, for the kernel may have dropped what it could not write.
"""

import contextlib
import json
import mmap
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from rtes.common import failpoint, storage
from rtes.common.journal import BEGINNING, NO_SPACE, Journal, Reader
from rtes.common.native import mypyc_attr
from rtes.common.service import Boot
from rtes.common.snapshots import ENGINE, Snapshots
from rtes.services.matcher.core import Key, MatcherCore
from rtes.services.matcher.engine import Engine
from rtes.services.matcher.failure import CommandFailedError
from rtes.services.matcher.recovery import recover, restore

EXIT_POISONED: Final = 72
EXIT_DISK: Final = 74
PREPARE_INTERVAL_NS: Final = 200_000_000
CRASHES_MAX: Final = 2  # of one command; the next start refuses it
FORGET_NS: Final = 3_600_000_000_000
POISONED_MAX: Final = 10  # within FORGET_NS: then it is not the orders that are wrong
SLOT_BYTES: Final = 64


@mypyc_attr(native_class=False)
class TooManyPoisonedError(RuntimeError):
    """Something else is broken than the commands."""


class Writer:
    """What the loop calls between deciding and telling."""

    def __init__(self, core: MatcherCore, journal: Journal, epoch: int) -> None:
        self._core = core
        self._journal = journal
        self._epoch = epoch
        self._prepared_ns = 0
        self.report: Callable[[], None] = lambda: None  # while a block waits for space

    def commit(self) -> None:
        """Write the pending block, sync if it is time, have the next segment ready."""
        core = self._core
        now_ns = time.monotonic_ns()
        if core.pending is not None:
            self._append(*core.pending)
            core.pending = None
        self._journal.sync(now_ns)
        if now_ns - self._prepared_ns >= PREPARE_INTERVAL_NS:
            self._prepared_ns = now_ns
            self._journal.prepare()
            core.set_read_only(not self._journal.writable)

    def _append(self, first_seq: int, commands: int, block: bytes) -> None:
        while True:
            try:
                self._journal.append(self._epoch, first_seq, commands, block)
            except OSError as error:
                if error.errno not in NO_SPACE:
                    raise
            else:
                return
            self._core.set_read_only(True)
            self.report()
            time.sleep(PREPARE_INTERVAL_NS / 1e9)


class Crashes:
    """Which commands the matcher died of. The key in hand is in a mapped file, which outlives
    any end of the process; counts and tracebacks are files beside it."""

    def __init__(self, directory: Path, wall_ns: int) -> None:
        """Counts the crash of the process before this one, if it had a command in hand.

        Raises TooManyPoisonedError."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        fd = os.open(directory / "in-hand", os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, SLOT_BYTES)
        self.in_hand = memoryview(mmap.mmap(fd, SLOT_BYTES)).cast("Q")
        os.close(fd)
        counts = self._read(wall_ns)
        key = (self.in_hand[0], self.in_hand[1])
        if key != (0, 0):
            count = counts.get(key, (0, 0))[0] + 1
            counts[key] = (count, wall_ns)
            self._write(counts)
            self.in_hand[0] = self.in_hand[1] = 0
        self.poisoned = [k for k, (count, _) in counts.items() if count >= CRASHES_MAX]
        if len(self.poisoned) > POISONED_MAX:
            raise TooManyPoisonedError(
                f"{len(self.poisoned)} commands stopped the matcher within an hour: it is not the "
                f"commands that are wrong. Read {directory}, start another release, or remove "
                f"{directory / 'crashes.json'} to try again."
            )

    def _read(self, wall_ns: int) -> dict[Key, tuple[int, int]]:
        try:
            rows = json.loads((self._directory / "crashes.json").read_text())
        except (OSError, ValueError):
            return {}
        recent = [row for row in rows if wall_ns - row[3] < FORGET_NS]
        return {(account, cl_ord_id): (n, at) for account, cl_ord_id, n, at in recent}

    def _write(self, counts: dict[Key, tuple[int, int]]) -> None:
        rows = [[*key, count, at] for key, (count, at) in counts.items()]
        storage.replace(self._directory / "crashes.json", json.dumps(rows))

    def keep_aside(self, error: CommandFailedError) -> None:
        """Save a command with the traceback that it caused, for whoever is to find out why."""
        account, cl_ord_id = error.command[1], error.command[3]
        text = {"command": error.command, "traceback": traceback.format_exception(error)}
        with contextlib.suppress(OSError):  # a full disk must not hide the error itself
            path = self._directory / f"{account}-{cl_ord_id}.json"
            storage.replace(path, json.dumps(text, indent=1))
        failpoint.at("matcher.kept_aside")


class Matcher(NamedTuple):
    """A matcher that may start."""

    core: MatcherCore
    writer: Writer
    crashes: Crashes
    lock: int  # held until the process ends
    recovered: dict[str, int]  # what was done, for the log


def recovered(start: Boot) -> Matcher:
    """Take the journal and bring the state back: newest snapshot, then the blocks after it.

    Raises AlreadyRunningError, JournalCorruptError, ReplayDivergedError, TooManyPoisonedError, and
    OperatorError when a symbol is not listed any more."""
    shard, config, paths = start.shard, start.config, start.paths
    directory = paths.journal_dir(shard)
    lock = storage.lock(directory)
    crashes = Crashes(paths.poison_dir(shard), start.clock.wall_ns())
    epoch = storage.next_epoch(directory)
    instruments = [i for i in start.instruments if i.shard == shard]
    engine = Engine(shard, instruments, config.exchange.day_end_ns)
    core = MatcherCore(shard, epoch, engine, crashes.in_hand, crashes.poisoned)
    interval_ns = config.journal.sync_interval_ns
    snapshots = Snapshots(paths.snapshots_dir(shard))
    if interval_ns is None:  # a power loss may have left less than the snapshots know
        snapshots.forget_after(Reader(directory).last_seq)
    after = BEGINNING
    for saved in snapshots.newest(ENGINE) or ():
        restore(core, engine, saved)
        after = saved.point
    journal = Journal(directory, shard, config.journal.segment_mib << 20, interval_ns)
    commands = recover(core, journal.recover(after))
    journal.prepare()
    core.set_read_only(not journal.writable)
    done = {
        "epoch": epoch,
        "seq": core.next_seq - 1,
        "snapshot_seq": after.seq,
        "replayed": commands,
        "torn_bytes": journal.torn_bytes,
    }
    return Matcher(core, Writer(core, journal, epoch), crashes, lock, done)
