"""The fake disk: a journal's bytes, what of them is synced, and what a power loss leaves.

Blocks and their checksums are the real ones. kill -9 loses nothing appended; a power loss keeps a
random prefix of what was not synced, its end perhaps torn, zeroed or with a bit flipped.
"""

import errno
import random
from bisect import bisect_right
from collections.abc import Iterator

from rtes.common import blocks
from rtes.common.journal import BEGINNING, Point


def last_seq(block: blocks.StoredBlock) -> int:
    return block.first_seq + block.commands - 1


class DamagedError(RuntimeError):
    """Damage before valid data: the real journal would refuse to start."""


class FakeJournal:
    """One shard's journal."""

    def __init__(self, shard: int) -> None:
        self.data = bytearray()
        self.synced = 0
        self.torn = 0  # times that a recovery cut something off
        self.writable = True  # False: the disk is full, `reserve` bytes are left of the segment
        self.reserve = 0
        self._shard = shard
        self._crc = 0
        self._dirty = False
        self._synced_seq = 0  # where the last synced block begins
        self._index: list[tuple[blocks.StoredBlock, bytes]] = []

    def recover(self, after: Point = BEGINNING) -> Iterator[tuple[blocks.StoredBlock, bytes]]:
        """All whole blocks after a point; what follows them is cut off, unless something valid
        is in it."""
        view = memoryview(bytes(self.data))
        self._crc, end = 0, 0
        self._dirty = False
        self._index.clear()
        for block in blocks.scan(view, 0):
            self._crc, end = block.crc, block.end
            payload = blocks.payload(view, block)
            self._index.append((block, payload))
            if block.first_seq > after.seq:
                yield block, payload
            elif last_seq(block) == after.seq and block.crc != after.crc:
                raise DamagedError(f"journal {self._shard}: not that of the snapshot")
        if self._index and last_seq(self._index[-1][0]) < after.seq:
            raise DamagedError(f"journal {self._shard}: what was told after {end} is missing")
        if blocks.valid_after(view, end) is not None:
            raise DamagedError(f"journal {self._shard}: damage at {end}, valid data after it")
        self._cut_tail(end)
        self._sync_recovered()

    def _cut_tail(self, end: int) -> None:
        self.torn += len(self.data) > end
        del self.data[end:]

    def _sync_recovered(self) -> None:
        """The one before us may have died between append and sync: what we tell must be safe."""
        self._dirty = True
        self.sync()

    def append(self, epoch: int, first_seq: int, commands: int, payload: bytes) -> None:
        """Raises OSError (ENOSPC) before anything is written."""
        data, crc = blocks.encode(self._shard, epoch, first_seq, commands, payload, self._crc)
        if not self.writable:
            if len(data) > self.reserve:
                raise OSError(errno.ENOSPC, "no space left on the simulated disk")
            self.reserve -= len(data)
        self._crc = crc
        self.data += data
        self._dirty = True
        start = len(self.data) - len(data)
        stored = (self._shard, epoch, first_seq, commands, crc, start, len(self.data))
        self._index.append((blocks.StoredBlock(*stored), payload))

    def sync(self) -> None:
        if not self._dirty:
            return
        self._dirty = False
        self.synced = len(self.data)
        self._synced_seq = self._index[-1][0].first_seq if self._index else 0

    def crash(self, rng: random.Random) -> None:
        """The power is gone."""
        unsynced = len(self.data) - self.synced
        keep = self.synced + min(unsynced, int(2 * rng.random() * (unsynced + 1)))
        del self.data[keep:]
        at = self.synced + int(rng.random() * (keep - self.synced))
        roll = rng.random()
        if keep > self.synced and roll < 0.3:
            self.data[at] ^= 1 << int(rng.random() * 8)
        elif keep > self.synced and roll < 0.5:
            self.data[at:keep] = bytes(keep - at)  # the length was written, the content was not
        self._forget()

    def lose_unsynced(self) -> None:
        """The power is gone, and nothing that was not synced is there."""
        del self.data[self.synced :]
        self._forget()

    def _forget(self) -> None:
        while self._index and self._index[-1][0].first_seq > self._synced_seq:
            self._index.pop()

    def blocks_from(self, seq: int) -> Iterator[tuple[int, int, int, bytes]]:
        """What the archive reads: (epoch, first_seq, commands, payload) from seq on."""
        for block, payload in self.stored_from(seq):
            yield block.epoch, block.first_seq, block.commands, payload

    def stored_from(self, seq: int) -> Iterator[tuple[blocks.StoredBlock, bytes]]:
        """What the snapshotter reads."""
        at = bisect_right(self._index, seq, key=lambda entry: entry[0].first_seq) - 1
        for entry in self._index[max(0, at) :]:
            if last_seq(entry[0]) >= seq:
                yield entry
