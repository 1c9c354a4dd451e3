"""One channel of one symbol: numbers its messages and keeps them for retransmission. Pure.

Invariants: rpt_seq is gapless and starts at 1 in each epoch; while the stream is told, the last
RETRANSMIT_MESSAGES_MAX messages of the epoch are kept, in the frames that were published, else
messages are only counted. A snapshot is made once, however many ask for it, until the next message.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from rtes.common.enums import Channel
from rtes.common.marketdata import (
    BATCH_ENTRIES_MAX,
    RETRANSMIT_MESSAGES_MAX,
    TAG_OF,
    encode,
    topic_of,
)
from rtes.common.records import decode

Message = tuple[Any, ...]  # as published, with its type in front


class Stream:
    """Numbered messages of one topic."""

    __slots__ = (
        "_kept", "_kept_count", "_snapshot", "_tag", "_told", "_unsent", "channel", "epoch",
        "rpt_seq", "symbol", "topic",
    )  # fmt: skip

    def __init__(self, channel: Channel, symbol: str) -> None:
        self.channel = channel
        self.symbol = symbol
        self.topic = topic_of(channel, symbol)
        self.epoch = 0
        self.rpt_seq = 0
        self._tag = TAG_OF[channel]
        self._told = False
        self._unsent: list[Message] = []
        self._kept: deque[tuple[int, bytes]] = deque()  # messages in a frame, the frame
        self._kept_count = 0
        self._snapshot: list[bytes] | None = None

    def tell(self, told: bool) -> None:
        """Whether somebody may want its messages from here on."""
        self._told = told
        self._unsent = []
        self._forget()

    def restart(self, epoch: int) -> None:
        """A new epoch: numbers start again and older messages are void."""
        self.epoch = epoch
        self.rpt_seq = 0
        self._forget()
        self._snapshot = None

    def _forget(self) -> None:
        self._kept.clear()
        self._kept_count = 0

    def add(self, fields: tuple[Any, ...], time_ns: int) -> None:
        """The next message; fields are those between symbol and time."""
        self.rpt_seq = rpt_seq = self.rpt_seq + 1
        self._snapshot = None
        if self._told:
            self._unsent.append((self._tag, self.epoch, rpt_seq, self.symbol, *fields, time_ns))

    def take(self) -> bytes | None:
        """One frame of what was added and not yet taken; None when nothing was, or nobody may want
        it."""
        unsent = self._unsent
        if not unsent:
            return None
        self._unsent = []
        frame, count = encode(unsent), len(unsent)
        kept = self._kept
        kept.append((count, frame))
        self._kept_count += count
        while self._kept_count - kept[0][0] >= RETRANSMIT_MESSAGES_MAX:
            self._kept_count -= kept.popleft()[0]
        return frame

    def heartbeat(self) -> bytes:
        """The frame that tells the last rpt_seq."""
        return encode([("0", self.epoch, self.rpt_seq, self.symbol, self.channel)])

    def retransmit(self, epoch: int, begin: int) -> list[bytes] | None:
        """Frames with the messages from begin on; None when they are not kept."""
        count = self._kept_count + len(self._unsent)
        skipped = begin - (self.rpt_seq - count + 1)
        if epoch != self.epoch or skipped < max(0, count - RETRANSMIT_MESSAGES_MAX):
            return None
        kept = [message for _, frame in self._kept for message in decode(frame)]
        wanted = [*kept, *self._unsent][skipped:]
        if not wanted:
            return [self.heartbeat()]
        starts = range(0, len(wanted), BATCH_ENTRIES_MAX)
        return [encode(wanted[start : start + BATCH_ENTRIES_MAX]) for start in starts]

    def snapshot(self, entries: Callable[[], list[tuple[Any, ...]]]) -> list[bytes]:
        """Frames of a snapshot at rpt_seq; entries gives the fields, as for add."""
        if self._snapshot is None:
            self._snapshot = snapshot_frames(
                self._tag, self.epoch, self.rpt_seq, self.symbol, self.channel, entries()
            )
        return self._snapshot


def snapshot_frames(
    tag: str,
    epoch: int,
    rpt_seq: int,
    symbol: str,
    channel: Channel,
    entries: list[tuple[Any, ...]],
) -> list[bytes]:
    """At least one frame; each starts with its SnapshotFullRefresh."""
    frames = []
    for start in range(0, max(len(entries), 1), BATCH_ENTRIES_MAX):
        part = entries[start : start + BATCH_ENTRIES_MAX]
        head = ("W", epoch, rpt_seq, symbol, channel, len(entries), start)
        frames.append(encode([head, *((tag, epoch, rpt_seq, symbol, *e) for e in part)]))
    return frames
