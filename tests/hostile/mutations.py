"""Frames that no honest client sends: random bytes, and valid frames bent out of shape.

One seed, one sequence of frames.
"""

import random
from collections.abc import Callable
from typing import Any, Final

import msgspec
from rtes.common import messages as m
from rtes.services.gateway.admission import read

VALUES: Final[tuple[Any, ...]] = (
    None, True, -1, 0, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 1.5, float("nan"), float("inf"),
    "", "1", "X" * 16, "X" * 17, "\0", "é" * 40, b"", b"\xff", [], [[]], {}, {"a": 1},
    msgspec.msgpack.Ext(5, b"x"), msgspec.msgpack.Ext(-1, b"\0\0\0\1"),
)  # fmt: skip
EDGES: Final = (
    b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff", b"\xc1", b"\x91" * 300,
)  # fmt: skip
ACCOUNTS: Final = ("ANN", "BOB", "CAT", "NOBODY")
_encode = msgspec.msgpack.Encoder().encode


class Mutator:
    """Makes frames. accounts: the names that a Logon in them may give."""

    def __init__(self, seed: int, accounts: tuple[str, ...] = ACCOUNTS, px: int = 1_000) -> None:
        self._random = random.Random(seed)
        self._accounts = accounts
        self._px = px
        self._cl_ord_id = 0
        self._last = b"\x91\xa10"
        self._kinds: tuple[Callable[[], bytes], ...] = (
            self.valid, self.valid, self.valid, self._batch, self._swapped, self._swapped,
            self._swapped, self._swapped, self._flipped, self._flipped, self._truncated,
            self._spliced, self._grown, self._edge, self._noise,
        )  # fmt: skip

    def frame(self) -> bytes:
        """The next frame."""
        kinds = self._kinds
        return self._kept(kinds[int(self._random.random() * len(kinds))]())

    def burst(self) -> bytes:
        """A batch, most of which can be taken."""
        return self._kept(self._batch())

    def _kept(self, frame: bytes) -> bytes:
        self._last = self.valid() if self._ends_all(frame) else frame
        return self._last

    def _ends_all(self, frame: bytes) -> bool:
        """Whether it holds a good message with an id that puts many later ones out of order."""
        ids = (getattr(message, "cl_ord_id", 0) for message in read(frame)[0])
        return max(ids, default=0) > self._cl_ord_id + 20

    def row(self) -> list[Any]:
        """A message as it should be; ids mostly rise."""
        r = self._random.random
        self._cl_ord_id += 1 + (r() < 0.05)
        i = self._cl_ord_id if r() < 0.95 else int(r() * self._cl_ord_id) + 1
        symbol = "AAPL" if r() < 0.7 else "MSFT"
        older = max(1, self._cl_ord_id - int(r() * 40))
        px = self._px - 20 + int(r() * 40)
        makers: tuple[Callable[[], list[Any]], ...] = (
            lambda: ["D", i, symbol, "1" if r() < 0.5 else "2", 1 + int(r() * 9), "2", px],
            lambda: ["D", i, symbol, "1" if r() < 0.5 else "2", 5, "2", px, "3", 0, "", 0, 0, 0],
            lambda: ["F", i, symbol, older],
            lambda: ["G", i, symbol, older, 3, px, 0],
            lambda: ["q", i, "7" if r() < 0.5 else "1", "" if r() < 0.5 else symbol],
            lambda: ["H", i, symbol, older],
            lambda: ["AF", i],
            lambda: ["A", self._accounts[int(r() * len(self._accounts))], 1, 30, int(r() * 3)],
            lambda: ["0"],
            lambda: ["1", "test"],
            lambda: ["2", 1 + int(r() * 50), 0],
            lambda: ["x", "list"],
            lambda: ["AN", "positions"],
            lambda: ["DH", i, 1, "BOB"],
            lambda: ["UF", i, "no_self_trades", 1],
            lambda: ["5"] if r() < 0.1 else ["0"],
        )
        at = int(r() * (len(makers) + 12)) - 12  # orders and cancels most of all
        return makers[at if at >= 0 else at % 4]()

    def valid(self) -> bytes:
        return _encode(self.row())

    def _batch(self) -> bytes:
        """Several messages, now and then one of them bent, now and then too many."""
        count = 1 + int(self._random.random() ** 4 * (m.BATCH_MESSAGES_MAX + 4))
        rows = [self.row() for _ in range(min(count, 40) if count < 250 else count)]
        if self._random.random() < 0.3:
            rows[0] = self._swap(rows[0])
        return _encode(rows)

    def _swap(self, row: list[Any]) -> list[Any]:
        """One element of another type or out of range, one too many, or one too few."""
        roll = self._random.random
        at = int(roll() * (len(row) + 1))
        row[at : at + 1] = [VALUES[int(roll() * len(VALUES))]]
        if roll() < 0.1:
            del row[int(roll() * len(row)) :]
        return row

    def _swapped(self) -> bytes:
        return _encode(self._swap(self.row()))

    def _flipped(self) -> bytes:
        frame, roll = bytearray(self.valid()), self._random.random
        for _ in range(1 + int(roll() * 4)):
            frame[int(roll() * len(frame))] ^= 1 << int(roll() * 8)
        return bytes(frame)

    def _truncated(self) -> bytes:
        frame = self.valid()
        return frame[: int(self._random.random() * len(frame))]

    def _spliced(self) -> bytes:
        roll, one, other = self._random.random, self.valid(), self._last
        return one[: int(roll() * len(one))] + other[int(roll() * len(other)) :][:4_096]

    def _grown(self) -> bytes:
        frame, at = self.valid(), int(self._random.random() * 8)
        return frame[:at] + self._random.randbytes(1 + at) + frame[at:]

    def _edge(self) -> bytes:
        roll = self._random.random
        if roll() < 0.001:
            return bytes(m.FRAME_BYTES_MAX + int(roll() * 3) - 1)
        return EDGES[int(roll() * len(EDGES))] + self.valid()[: int(roll() * 10)]

    def _noise(self) -> bytes:
        return self._random.randbytes(int(self._random.random() * 64))
