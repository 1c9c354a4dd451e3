"""The fake disk: the journal's bytes, what of them is synced, and what a power loss leaves."""

import random
from collections.abc import Iterator

from rtes.common import blocks


class FakeJournal:
    """Same blocks as on a real disk; `crash` is a power loss, kill -9 loses nothing appended."""

    def __init__(self, durable: bool) -> None:
        self.data = bytearray()
        self.synced = 0
        self.torn = 0
        self.epoch = 0
        self._durable = durable
        self._crc = 0

    def recover(self) -> Iterator[tuple[blocks.StoredBlock, bytes]]:
        """All whole blocks; what follows them is cut off, unless something valid is in it."""
        view = memoryview(bytes(self.data))
        self._crc, end = 0, 0
        for block in blocks.scan(view, 0):
            self._crc, end = block.crc, block.end
            yield block, blocks.payload(view, block)
        if blocks.valid_after(view, end) is not None:
            raise AssertionError("the journal is damaged before valid data")
        self.torn += len(self.data) > end
        del self.data[end:]
        self.synced = min(self.synced, end)

    def append(self, epoch: int, first_seq: int, commands: int, payload: bytes) -> None:
        data, self._crc = blocks.encode(0, epoch, first_seq, commands, payload, self._crc)
        self.data += data

    def sync(self) -> None:
        if self._durable:
            self.synced = len(self.data)

    def crash(self, rng: random.Random) -> None:
        """Of what was not synced a random prefix survives, its end perhaps torn or flipped."""
        keep = self.synced + int(rng.random() * (len(self.data) - self.synced + 1))
        del self.data[keep:]
        if keep > self.synced and rng.random() < 0.3:
            at = self.synced + int(rng.random() * (keep - self.synced))
            self.data[at] ^= 0x40

    def blocks_from(self, seq: int) -> Iterator[tuple[int, int, int, bytes]]:
        """What the archive reads."""
        view = memoryview(bytes(self.data))
        for block in blocks.scan(view, 0):
            if block.first_seq + block.commands > seq:
                payload = blocks.payload(view, block)
                yield block.epoch, block.first_seq, block.commands, payload
