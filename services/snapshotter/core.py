"""Executes the journal again beside the matcher and saves where that leads, now and then.

Invariants: only what the matcher released is executed; a block that comes out differently stops
this process before it saves anything, so every snapshot is a proof that the journal gives the
state. The hot path never waits for a snapshot: it is made here, from the files.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from rtes.common import feed
from rtes.common.blocks import StoredBlock
from rtes.common.checks import Check, Result, healthy_if
from rtes.common.events import Events
from rtes.common.journal import BEGINNING, Point
from rtes.common.loop import Rest, Send, Vitals
from rtes.common.records import decode_block
from rtes.common.snapshots import ENGINE, MARKET_DATA, RISK
from rtes.services.marketdata.core import MarketDataCore
from rtes.services.matcher.engine import Engine
from rtes.services.risk.rules import Risk

FEED: Final = 1  # channel: status of the matcher
COMMANDS_PER_STEP: Final = 1_000  # about a millisecond, see process.yield_to_all
REST_S: Final = 0.05  # between two steps: nobody waits for it
BEHIND_REST_S: Final = 0.002
RETRY_NS: Final = 5_000_000_000  # after one that failed

BlocksFrom = Callable[[int], Iterator[tuple[StoredBlock, bytes]]]
Damages = Callable[[], list[str]]  # see scrub.py
Save = Callable[[Point, int, Mapping[str, Any]], None]  # point, time of the last command, parts


class Replicas:
    """What follows from a shard's blocks: its engine, risk's projection, what was published."""

    def __init__(self, engine: Engine, risk: Risk, market_data: MarketDataCore) -> None:
        self.engine = engine
        self.risk = risk
        self.market_data = market_data

    def execute(self, payload: bytes) -> int:
        """One block; returns the time of its last command. Raises InvariantError."""
        block = decode_block(payload)
        self.market_data.handle_block(block)  # nobody wants its messages: it counts them
        self.risk.apply_block(block)
        return block.time_ns + block.commands - 1

    def parts(self) -> dict[str, Any]:
        """For a snapshot."""
        return {
            ENGINE: self.engine.state(),
            RISK: self.risk.state(),
            MARKET_DATA: self.market_data.state(),
        }


class SnapshotterCore:
    """Follows one shard. save is called when a snapshot is due."""

    def __init__(
        self,
        replicas: Replicas,
        blocks_from: BlocksFrom,
        save: Save,
        commands_max: int,
        interval_ns: int,
        damages: Damages = list,
    ) -> None:
        self.outbox: list[Send] = []
        self._replicas = replicas
        self._blocks_from = blocks_from
        self._save = save
        self._commands_max = commands_max
        self._interval_ns = interval_ns
        self._heard = False  # of the matcher
        self._behind = False  # more waits than fits into a step
        self._head_seq = 0
        self._at = self._saved = BEGINNING
        self._time_ns = 0
        self._next_ns = 0
        self._retry_ns = 0
        self._snapshots = 0
        self._failure = ""
        self._damages = damages
        self._damaged = 0
        self._events = Events()

    def resume(self, at: Point, time_ns: int) -> None:
        """The replicas have taken in the snapshot at this point."""
        self._at = self._saved = at
        self._time_ns = time_ns

    def receive(self, _channel: int, frames: list[bytes], _now_ns: int, _wall_ns: int) -> None:
        self._heard = True
        for frame in frames:
            self._head_seq = max(self._head_seq, feed.Status(frame).head_seq)

    def flush(self, _now_ns: int, _wall_ns: int) -> None:
        """Execute the next blocks, as far as they were released."""
        left = COMMANDS_PER_STEP
        self._behind = False
        if self._at.seq >= self._head_seq:
            return
        for stored, payload in self._blocks_from(self._at.seq + 1):
            last_seq = stored.first_seq + stored.commands - 1
            if last_seq > self._head_seq:
                return
            if left <= 0:
                self._behind = True
                return
            self._time_ns = self._replicas.execute(payload)
            self._at = Point(last_seq, stored.crc)
            left -= stored.commands

    def rest(self) -> Rest:
        """For the loop: let the journal grow."""
        return Rest(BEHIND_REST_S if self._behind else REST_S, self._behind)

    def tick(self, now_ns: int) -> None:
        if self._next_ns == 0:
            self._next_ns = now_ns + self._interval_ns
        waiting = self._at.seq - self._saved.seq
        if not waiting or now_ns < self._retry_ns:
            return
        if waiting >= self._commands_max or now_ns >= self._next_ns:
            self._next_ns = now_ns + self._interval_ns
            self._try_to_save(now_ns)

    def end(self) -> None:
        """An orderly end: what was executed is saved, so the next start replays none of it."""
        if self._at.seq > self._saved.seq:
            self._try_to_save(0)

    def _try_to_save(self, now_ns: int) -> None:
        try:
            self._save(self._at, self._time_ns, self._replicas.parts())
        except OSError as error:  # a full disk: the next one may succeed, none is lost by it
            self._failure = f"snapshot failed: {error.strerror}"
            self._retry_ns = now_ns + RETRY_NS
            self._events.warning("snapshot failed", seq=self._at.seq, why=error.strerror)
            return
        self._events.info("snapshot written", seq=self._at.seq, after_seq=self._saved.seq)
        self._saved = self._at
        self._snapshots += 1
        self._failure = ""

    def health_checks(self) -> list[Check]:
        """journal_whole reads the journal in the loop, at the lowest priority: slow is not ill."""
        return [
            Check("snapshot", self._snapshot, groups=("data",)),
            Check("journal_whole", self._whole, 0.5, timeout_s=30.0, groups=("data",)),
        ]

    def _whole(self) -> Result:
        found = self._damages()
        if len(found) > self._damaged:
            self._events.warning("journal damaged", why=found[0])
        self._damaged = len(found)
        return healthy_if(not found, "; ".join(found) or "no damage found")

    def _snapshot(self) -> Result:
        return healthy_if(not self._failure, self._failure or f"last at seq {self._saved.seq}")

    def vitals(self) -> Vitals:
        lag = max(0, self._head_seq - self._at.seq)
        return Vitals(
            ready=self._heard,
            counters={"rtes_snapshots_total": self._snapshots},
            gauges={
                "rtes_sequence": self._at.seq,
                "rtes_snapshot_sequence": self._saved.seq,
                "rtes_feed_lag": lag,
                "rtes_journal_damaged": self._damaged,
            },
            events=self._events.take(),
        )
