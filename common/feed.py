"""The outcome feed: blocks in sequence, gaps found and filled, old writers ignored. Pure.

A feed frame is (FEED, shard, epoch, first_seq, commands) + block. A status frame is a msgpack
array that tells the head of the feed and what the matcher expects on its links; it reveals a
lost tail. A follower applies each sequence number exactly once, in order.
"""

import struct
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from rtes.common.events import Events
from rtes.common.invariant import invariant
from rtes.common.native import mypyc_attr
from rtes.common.records import Block, decode, decode_block, encode

HEADER: Final = struct.Struct(">HQQI")  # shard, epoch, first_seq, commands
TOPIC_BLOCK: Final = b"B"
TOPIC_STATUS: Final = b"S"
TOPIC_END: Final = b"E"  # ends an answer of the archive: only then is more asked for
TOPIC_GONE: Final = b"G"  # what was asked for is older than what is kept
TOPIC_SNAPSHOT: Final = b"N"  # a piece of a snapshot
REQUEST_INTERVAL_NS: Final = 100_000_000
PENDING_BLOCKS_MAX: Final = 1_024


def frame(shard: int, epoch: int, first_seq: int, commands: int, block: bytes) -> bytes:
    """The feed frame of one block, topic included."""
    return TOPIC_BLOCK + HEADER.pack(shard, epoch, first_seq, commands) + block


def replay_request(shard: int, first_seq: int) -> bytes:
    """Asks the archive for the feed frames from first_seq on."""
    return encode(("replay", shard, first_seq))


def history_request(
    shard: int, account: int, begin_seq_no: int, session: int, told_seq: int
) -> bytes:
    """Asks the archive for what an account was told up to told_seq, from a report number on."""
    return encode(("history", shard, account, begin_seq_no, session, told_seq))


def end_frame(shard: int) -> bytes:
    """Ends the archive's answer to a replay request."""
    return TOPIC_END + encode(shard)


def gone_frame(shard: int, seq: int) -> bytes:
    """The archive's answer when what follows seq was removed."""
    return TOPIC_GONE + encode((shard, seq))


def snapshot_request(shard: int, seq: int, part: str, offset: int) -> bytes:
    """Asks the archive for a piece of a snapshot's file; seq 0: only which snapshots there are."""
    return encode(("snapshot", shard, seq, part, offset))


class SnapshotPiece(NamedTuple):
    """The answer: data from offset on, of a file of so many bytes; without data when there is no
    such file. seqs are the snapshots that there are, oldest first."""

    seq: int
    part: str
    offset: int
    size: int
    data: bytes
    seqs: list[int]

    def frame(self) -> bytes:
        return TOPIC_SNAPSHOT + encode(self)

    @classmethod
    def of(cls, frame: bytes) -> "SnapshotPiece":
        return cls._make(decode(frame[1:]))


@mypyc_attr(native_class=False)
class FellBehindError(RuntimeError):
    """What a follower needs next is not kept any more: it must start anew, from a snapshot."""


class Follower:
    """Follows one shard's feed from next_seq on."""

    def __init__(self, shard: int, next_seq: int = 1) -> None:
        self.shard = shard
        self.next_seq = next_seq
        self.head_seq = 0
        self.epoch = 0
        self.gaps = 0
        self._pending: dict[int, tuple[int, bytes]] = {}
        self._asked_ns = 0
        self._asked_seq = 0

    def receive(self, data: bytes) -> list[bytes]:
        """Take a feed frame; returns the blocks that are now in turn."""
        shard, epoch, first_seq, commands = HEADER.unpack_from(data, 1)
        if shard != self.shard or epoch < self.epoch:
            return []
        self.epoch = epoch
        end = first_seq + commands
        self.head_seq = max(self.head_seq, end - 1)
        if end <= self.next_seq:
            return []
        block = data[1 + HEADER.size :]
        if first_seq != self.next_seq:
            invariant(first_seq > self.next_seq, "a block may not straddle what was applied")
            self.gaps += 1
            if len(self._pending) < PENDING_BLOCKS_MAX:
                self._pending[first_seq] = (commands, block)
            return []
        self.next_seq = end
        return [block, *self._unblocked()] if self._pending else [block]

    def _unblocked(self) -> list[bytes]:
        blocks = []
        while (entry := self._pending.pop(self.next_seq, None)) is not None:
            self.next_seq += entry[0]
            blocks.append(entry[1])
        for seq in [s for s in self._pending if s < self.next_seq]:
            del self._pending[seq]
        return blocks

    def status(self, epoch: int, head_seq: int) -> None:
        """The matcher's word on how far the feed goes."""
        if epoch >= self.epoch:
            self.epoch = epoch
            self.head_seq = max(self.head_seq, head_seq)

    @property
    def behind(self) -> bool:
        return self.next_seq <= self.head_seq

    def request(self, now_ns: int) -> int | None:
        """The sequence number to ask a replay from, or None when there is nothing to ask now."""
        if not self.behind or now_ns - self._asked_ns < REQUEST_INTERVAL_NS:
            return None
        self._asked_ns = now_ns
        self._asked_seq = self.next_seq
        return self.next_seq

    def answered(self) -> None:
        """An answer came to its end: the next request need not wait if it brought something."""
        if self.next_seq > self._asked_seq:
            self._asked_ns = 0


class Status:
    """The matcher's status frame: how far the feed goes, what it expects on its links, and
    whether it is read-only: its disk is full, only cancels are taken."""

    def __init__(self, frame: bytes) -> None:
        self.shard, self.epoch, self.head_seq, entries, self.read_only = decode(frame[1:])
        self.entries: list[tuple[int, int, int, int, bool]] = [
            (e[0], e[1], e[2], e[3], e[4]) for e in entries
        ]


def status_frame(
    shard: int, epoch: int, head_seq: int, entries: list[Any], read_only: bool = False
) -> bytes:
    """The bytes that Status reads."""
    return TOPIC_STATUS + encode((shard, epoch, head_seq, entries, read_only))


class Followers:
    """Follows the feeds of several shards; what is missed is asked of each shard's archive."""

    def __init__(self, shards: Iterable[int], from_head: bool = False) -> None:
        self.events = Events()
        self.by_shard = {shard: Follower(shard) for shard in shards}
        self._unplaced = set(self.by_shard) if from_head else set()

    def take(self, frame: bytes) -> tuple[list[Block], Status | None]:
        """A frame of the feed or a replay: the blocks now in turn, or a status."""
        topic = frame[:1]
        if topic == TOPIC_BLOCK:
            shard: int = HEADER.unpack_from(frame, 1)[0]
            if shard not in self.by_shard or shard in self._unplaced:
                return [], None
            return [decode_block(b) for b in self.by_shard[shard].receive(frame)], None
        if topic == TOPIC_STATUS:
            return [], self._status(Status(frame))
        if topic == TOPIC_END:
            self._answered(self.by_shard[decode(frame[1:])])
        elif topic == TOPIC_GONE:
            self._gone(*decode(frame[1:]))
        return [], None

    def _status(self, status: Status) -> Status | None:
        """The status of a shard that is followed."""
        follower = self.by_shard.get(status.shard)
        if follower is None:
            return None
        follower.status(status.epoch, status.head_seq)
        if status.shard in self._unplaced:
            self._unplaced.discard(status.shard)
            follower.next_seq = status.head_seq + 1
        return status

    def _answered(self, follower: Follower) -> None:
        follower.answered()
        where = {"feed": follower.shard, "seq": follower.next_seq - 1}
        self.events.info("replayed", **where, head=follower.head_seq)

    def _gone(self, shard: int, seq: int) -> None:
        if self.by_shard[shard].next_seq == seq:
            raise FellBehindError(
                f"shard {shard}: what follows sequence number {seq - 1} is not kept any more; "
                f"this process starts anew"
            )

    def start_after(self, shard: int, seq: int) -> None:
        """A snapshot was taken in that holds everything up to seq."""
        self.by_shard[shard].next_seq = seq + 1

    def requests(self, now_ns: int) -> list[tuple[int, int]]:
        """(shard, first missing sequence number) for every replay to ask for now."""
        wanted: list[tuple[int, int]] = []
        for shard, follower in self.by_shard.items():
            seq = follower.request(now_ns)
            if seq is None:
                continue
            wanted.append((shard, seq))
            figures = {"head": follower.head_seq, "gaps": follower.gaps}
            self.events.info("replay asked", feed=shard, from_seq=seq, **figures)
        return wanted

    def applied_in(self, shard: int) -> int | None:
        """The last sequence number applied of one shard; None when it is not heard of yet and
        followed from the head."""
        return None if shard in self._unplaced else self.by_shard[shard].next_seq - 1

    @property
    def applied(self) -> dict[int, int]:
        """The last sequence number applied, by shard; without those not heard of yet when it
        follows from the head."""
        found = {shard: self.applied_in(shard) for shard in self.by_shard}
        return {shard: seq for shard, seq in found.items() if seq is not None}

    @property
    def caught_up(self) -> bool:
        """Every shard's feed has been heard of and applied to its head."""
        return all(
            f.epoch > 0 and not f.behind and s not in self._unplaced
            for s, f in self.by_shard.items()
        )
