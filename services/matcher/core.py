"""The matcher decides, once, what happened to every order.

Invariants: a sequence number is used once; an (account, cl_ord_id) executes at most once;
commands are taken in the order their link gives; nothing is released before its block is
journaled (the loop enforces the last). Time never goes back: command i of a block happens at
time_ns + i, whatever the wall clock says. What the matcher itself refuses (the disk is full, the
order stopped it before) is journaled as a verdict, so that a replay refuses it too.
"""

import struct
from collections.abc import Collection
from typing import Any, Final, Protocol

from rtes.common import feed, link
from rtes.common.checks import Check, HealthStatus, Result, healthy_if
from rtes.common.events import Events
from rtes.common.histogram import Histogram
from rtes.common.loop import Send, Vitals
from rtes.common.records import (
    C_CL_ORD_ID,
    C_RECEIVED_NS,
    CMD_EXPIRE,
    Block,
    Command,
    decode,
    decode_commands,
    decode_groups,
    encode,
)
from rtes.common.refusals import Code
from rtes.services.matcher.engine import Engine
from rtes.services.matcher.failure import CommandFailedError

COMMANDS: Final = 1  # channel: groups from risk
FEED: Final = 2  # channel: blocks and status to everyone
OWN_LANE: Final = 65_535  # commands of the matcher's own clock
STATUS_INTERVAL_NS: Final = 200_000_000
STATUS_BUSY_NS: Final = 5_000_000  # risk holds what it sent until a status says that it came
OPEN_ORDERS_MANY: Final = 1_000_000
NEW_RISK: Final = ("D", "G")  # what is not taken while the disk is full

Key = tuple[int, int]  # account, cl_ord_id


class InHand(Protocol):
    """Where the key of the command being executed stands, for whoever comes after a crash."""

    def __setitem__(self, at: int, value: int, /) -> None: ...


class MatcherCore:
    """Sequences, matches and reports. `pending` is the block to journal before release."""

    def __init__(
        self,
        shard: int,
        epoch: int,
        engine: Engine,
        in_hand: InHand | None = None,
        poisoned: Collection[Key] = (),
    ) -> None:
        """in_hand: [account, cl_ord_id], zeroes between batches; poisoned: refuse these."""
        self.outbox: list[Send] = []
        self.read_only = False  # the disk is full: refuse what opens risk, take cancels
        self.pending: tuple[int, int, bytes] | None = None  # first_seq, commands, block
        self.next_seq = 1
        self._shard = shard
        self._epoch = epoch
        self._engine = engine
        self._in_hand: InHand = [0, 0] if in_hand is None else in_hand
        self._poisoned = poisoned
        self._events = Events()
        self._time_ns = 0
        self._links = link.Receiver()
        self._frames: list[bytes] = []
        self._took = Histogram()  # from the gateway's socket to here
        self._status_ns = 0
        self._status_due = True
        counters = "rtes_blocks_total", "rtes_commands_total", "rtes_frames_bad_total"
        self._counters = dict.fromkeys(counters, 0)

    def resume(self, next_seq: int, time_ns: int) -> None:
        """The engine has taken in a state: go on from there."""
        self.next_seq = next_seq
        self._time_ns = time_ns

    def set_read_only(self, read_only: bool) -> None:
        """Whether the disk is full; the gateways hear of a change at once."""
        if read_only == self.read_only:
            return
        said = "read-only: the disk is full" if read_only else "takes orders again"
        self._events.warning(said, seq=self.next_seq - 1)
        self._status_due = True
        self.read_only = read_only

    def replay(self, block: Block) -> bool:
        """Execute a journaled block again; False when it does not come out the same."""
        same = block.first_seq == self.next_seq
        chunks, notices = self._execute(block.frames, block.time_ns)[1:]
        self._took = Histogram()  # that was another day's
        return same and (chunks, notices) == (block.chunks, block.notices)

    def receive(self, _channel: int, frames: list[bytes], _now_ns: int, _wall_ns: int) -> None:
        for frame in frames:
            try:
                stamp, payload = link.unpack(frame)
            except struct.error:
                self._counters["rtes_frames_bad_total"] += 1
                continue
            taken = self._links.accept(stamp)
            if taken:
                self._frames.append(payload)
            self._status_due |= not taken or stamp[3] == 0  # a new risk waits to be known

    def flush(self, now_ns: int, wall_ns: int) -> None:
        expiry_ns = self._engine.next_expiry_ns
        if expiry_ns is not None and expiry_ns <= wall_ns:
            commands = encode([(CMD_EXPIRE, 0, wall_ns, 0)])
            self._frames.insert(0, encode([(OWN_LANE, 0, 0, 0, commands, [])]))
        if self._frames:
            frames, self._frames = self._frames, []
            if self.read_only or self._poisoned:
                frames = [self._judged(frame) for frame in frames]
            self._seal(frames, wall_ns)
            self._status_due |= now_ns - self._status_ns >= STATUS_BUSY_NS
        if self._status_due:
            self._send_status(now_ns)

    def _judged(self, frame: bytes) -> bytes:
        """The frame with the matcher's own refusals beside risk's."""
        groups = decode(frame)
        for group in groups:
            refused = {verdict[0] for verdict in group[5]}
            for i, command in enumerate(decode_commands(group[4])):
                code = self._own_refusal(command)
                if code and i not in refused:
                    group[5].append((i, int(code), 0, 0))
        return encode(groups)

    def _own_refusal(self, command: Command) -> Code:
        if (command[1], command[3]) in self._poisoned:
            named = {"account_id": command[1], "cl_ord_id": command[3]}
            self._events.warning("refused: it stopped the matcher", **named, code="POISONED")
            return Code.POISONED
        if self.read_only and command[0] in NEW_RISK:
            return Code.READ_ONLY
        return Code.OK

    def _seal(self, frames: list[bytes], wall_ns: int) -> None:
        """Execute a batch and make its block."""
        first_seq = self.next_seq
        time_ns = max(self._time_ns + 1, wall_ns)
        acks, chunks, notices = self._execute(frames, time_ns)
        commands = self.next_seq - first_seq
        if commands == 0:
            return  # a restarted risk says hello with an empty frame
        head = (self._shard, self._epoch, first_seq, commands, time_ns)
        block = encode((*head, acks, frames, chunks, notices))
        self.pending = (first_seq, commands, block)
        self._counters["rtes_blocks_total"] += 1
        self._counters["rtes_commands_total"] += commands
        frame = feed.frame(self._shard, self._epoch, first_seq, commands, block)
        self.outbox.append((FEED, None, frame))

    def _execute(self, frames: list[bytes], time_ns: int) -> tuple[list[Any], list[Any], list[Any]]:
        """Apply all commands in order; returns what is acknowledged, told and noticed."""
        seq = self.next_seq
        engine, in_hand = self._engine, self._in_hand
        in_hand_of = 0
        acks: dict[int, tuple[int, int, int, int]] = {}
        command: Command = ()
        try:
            for frame in frames:
                for lane, epoch, link_no, n, commands, verdicts in decode_groups(frame):
                    refused = {v[0]: v for v in verdicts} if verdicts else None
                    for i, command in enumerate(commands):
                        account: int = command[1]
                        if account != in_hand_of:  # a write to a mapped file is not for nothing
                            in_hand[0] = in_hand_of = account
                        in_hand[1] = command[3]
                        verdict = refused.get(i) if refused is not None else None
                        engine.apply(command, verdict, seq, time_ns)
                        seq += 1
                        time_ns += 1
                    acks[lane] = (lane, epoch, link_no, n)
                    if commands and commands[0][C_CL_ORD_ID]:  # a participant's; the others came
                        # to the gateway at about the same time
                        self._took.observe(time_ns - commands[0][C_RECEIVED_NS], len(commands))
        except Exception as error:
            raise CommandFailedError(command) from error
        in_hand[0] = in_hand[1] = 0
        self.next_seq = seq
        self._time_ns = time_ns
        acks.pop(OWN_LANE, None)
        return list(acks.values()), *engine.take()

    def _send_status(self, now_ns: int) -> None:
        entries = self._links.entries()
        head_seq = self.next_seq - 1
        status = feed.status_frame(self._shard, self._epoch, head_seq, entries, self.read_only)
        self.outbox.append((FEED, None, status))
        self._status_ns = now_ns
        self._status_due = False

    def tick(self, now_ns: int) -> None:
        if now_ns - self._status_ns >= STATUS_INTERVAL_NS or self._links.has_gap:
            self._send_status(now_ns)

    def _open_orders(self) -> int:
        return sum(len(p.orders) for p in self._engine.participants.values())

    def health_checks(self) -> list[Check]:
        return [
            Check("order_book", self._order_book, 0.5, critical=True, groups=("data",)),
            Check("journal", self._journal, 0.5, critical=True, groups=("data",)),
        ]

    def _order_book(self) -> Result:
        """The guide's check: a book this large is slow to recover and hard to cancel."""
        orders = self._open_orders()
        many = orders > OPEN_ORDERS_MANY
        status = HealthStatus.DEGRADED if many else HealthStatus.HEALTHY
        return Result(status, f"{orders} open orders, seq {self.next_seq - 1}")

    def _journal(self) -> Result:
        full = "the disk is full: cancels only" if self.read_only else "takes blocks"
        return healthy_if(not self.read_only, full)

    def vitals(self) -> Vitals:
        return Vitals(
            ready=not self.read_only,
            counters=dict(self._counters),
            gauges={
                "rtes_sequence": self.next_seq - 1,
                "rtes_open_orders": self._open_orders(),
                "rtes_symbols_halted": sum(b.halted for b in self._engine.books.values()),
                "rtes_read_only": int(self.read_only),
                "rtes_link_frames_dropped": self._links.dropped,
            },
            histograms={"rtes_order_latency_seconds.matcher": self._took},
            events=self._events.take(),
        )
