"""One channel of one symbol: numbers its messages and keeps them for retransmission. Pure.

Invariants: rpt_seq is gapless and starts at 1 in each epoch; the last RETRANSMIT_MESSAGES_MAX
messages of the epoch are kept, as the bytes that were published. A snapshot is made once, however
many subscribers ask for it, until the next message.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from rtes.common.enums import Channel
from rtes.common.marketdata import (
    BATCH_ENTRIES_MAX,
    RETRANSMIT_MESSAGES_MAX,
    TAG_OF,
    batch,
    encode,
    topic_of,
)


class Stream:
    """Numbered messages of one topic."""

    def __init__(self, channel: Channel, symbol: str) -> None:
        self.channel = channel
        self.symbol = symbol
        self.topic = topic_of(channel, symbol)
        self.epoch = 0
        self.rpt_seq = 0
        self._tag = TAG_OF[channel]
        self._unsent: list[bytes] = []
        self._kept: deque[bytes] = deque(maxlen=RETRANSMIT_MESSAGES_MAX)
        self._snapshot: list[bytes] | None = None

    def restart(self, epoch: int) -> None:
        """A new epoch: numbers start again and older messages are void."""
        self.epoch = epoch
        self.rpt_seq = 0
        self._kept.clear()
        self._snapshot = None

    def add(self, fields: tuple[Any, ...]) -> None:
        """The next message; fields are those after symbol."""
        self.rpt_seq += 1
        message = encode((self._tag, self.epoch, self.rpt_seq, self.symbol, *fields))
        self._kept.append(message)
        self._unsent.append(message)
        self._snapshot = None

    def take(self) -> list[bytes]:
        """What was added and not yet taken."""
        unsent, self._unsent = self._unsent, []
        return unsent

    def heartbeat(self) -> bytes:
        """The frame that tells the last rpt_seq."""
        return batch([encode(("0", self.epoch, self.rpt_seq, self.symbol, self.channel))])

    def retransmit(self, epoch: int, begin: int) -> list[bytes] | None:
        """Frames with the messages from begin on; None when they are not kept."""
        skipped = begin - (self.rpt_seq - len(self._kept) + 1)
        if epoch != self.epoch or skipped < 0:
            return None
        wanted = list(islice(self._kept, skipped, None))
        if not wanted:
            return [self.heartbeat()]
        starts = range(0, len(wanted), BATCH_ENTRIES_MAX)
        return [batch(wanted[start : start + BATCH_ENTRIES_MAX]) for start in starts]

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
