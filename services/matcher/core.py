"""The matcher decides, once, what happened to every order.

Invariants: a sequence number is used once; an (account, cl_ord_id) executes at most once;
commands are taken in the order their link gives; nothing is released before its block is
journaled (the loop enforces the last). Time never goes back: command i of a block happens at
time_ns + i, whatever the wall clock says.
"""

import struct
from typing import Any, Final

from rtes.common import feed, link
from rtes.common.loop import Send, Vitals
from rtes.common.records import CMD_EXPIRE, Block, decode_groups, encode
from rtes.services.matcher.engine import Engine

COMMANDS: Final = 1  # channel: groups from risk
FEED: Final = 2  # channel: blocks and status to everyone
OWN_LANE: Final = 65_535  # commands of the matcher's own clock
STATUS_INTERVAL_NS: Final = 200_000_000


class MatcherCore:
    """Sequences, matches and reports. `pending` is the block to journal before release."""

    def __init__(self, shard: int, epoch: int, engine: Engine) -> None:
        self.outbox: list[Send] = []
        self.pending: tuple[int, int, bytes] | None = None  # first_seq, commands, block
        self.next_seq = 1
        self._shard = shard
        self._epoch = epoch
        self._engine = engine
        self._time_ns = 0
        self._links = link.Receiver()
        self._frames: list[bytes] = []
        self._status_ns = 0
        self._status_due = True
        self._counters = {"rtes_blocks_total": 0, "rtes_commands_total": 0, "rtes_frames_bad": 0}

    def replay(self, block: Block) -> bool:
        """Execute a journaled block again; False when it does not come out the same."""
        same = block.first_seq == self.next_seq
        chunks, notices = self._execute(block.frames, block.time_ns)[1:]
        told = encode((chunks, notices))
        return same and told == encode((block.chunks, block.notices))

    def receive(
        self, _channel: int, frames: list[bytes], _now_ns: int, _wall_ns: int
    ) -> None:
        for frame in frames:
            try:
                stamp, payload = link.unpack(frame)
            except struct.error:
                self._counters["rtes_frames_bad"] += 1
                continue
            if self._links.accept(stamp) is link.Verdict.TAKE:
                self._frames.append(payload)
            self._status_due = True

    def flush(self, now_ns: int, wall_ns: int) -> None:
        expiry_ns = self._engine.next_expiry_ns
        if expiry_ns is not None and expiry_ns <= wall_ns:
            commands = encode([(CMD_EXPIRE, 0, wall_ns, 0)])
            self._frames.insert(0, encode([(OWN_LANE, 0, 0, 0, commands, [])]))
        if self._frames:
            frames, self._frames = self._frames, []
            self._seal(frames, wall_ns)
        if self._status_due:
            self._send_status(now_ns)

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

    def _execute(
        self, frames: list[bytes], time_ns: int
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Apply all commands in order; returns what is acknowledged, told and noticed."""
        seq = self.next_seq
        apply = self._engine.apply
        acks: dict[int, tuple[int, int, int, int]] = {}
        for frame in frames:
            for lane, epoch, link_no, n, commands, verdicts in decode_groups(frame):
                refused = {v[0]: v for v in verdicts} if verdicts else None
                for i, command in enumerate(commands):
                    apply(command, refused.get(i) if refused else None, seq, time_ns)
                    seq += 1
                    time_ns += 1
                acks[lane] = (lane, epoch, link_no, n)
        self.next_seq = seq
        self._time_ns = time_ns
        acks.pop(OWN_LANE, None)
        return list(acks.values()), *self._engine.take()

    def _send_status(self, now_ns: int) -> None:
        entries = self._links.entries()
        status = feed.status_frame(self._shard, self._epoch, self.next_seq - 1, entries)
        self.outbox.append((FEED, None, status))
        self._status_ns = now_ns
        self._status_due = False

    def tick(self, now_ns: int) -> None:
        if now_ns - self._status_ns >= STATUS_INTERVAL_NS or self._links.has_gap:
            self._send_status(now_ns)

    def vitals(self) -> Vitals:
        return Vitals(
            ready=True,
            checks={"order_book": {"ok": True, "detail": f"seq {self.next_seq - 1}"}},
            counters=dict(self._counters),
            gauges={
                "rtes_sequence": self.next_seq - 1,
                "rtes_link_frames_dropped": self._links.dropped,
            },
        )
