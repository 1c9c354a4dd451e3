"""Reads the journal's old segments again and again, a piece at a time: damage on disk is to be
known before somebody needs what it destroyed. The newest segment is left out: it is being written,
and the snapshotter executes it as it grows.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from rtes.common import blocks
from rtes.common.journal import first_seq_of, segments, used

PIECE_BYTES: Final = 2 << 20  # at twice a second: 64 MiB in 16 s


class Scrub:
    """Call it regularly; each call reads one piece and returns all damage that is known, one text
    for each damaged segment. A segment that is whole again, or gone, is forgotten."""

    def __init__(self, directory: Path, opened: Callable[[Path], memoryview]) -> None:
        """opened: the bytes of a segment."""
        self._directory = directory
        self._opened = opened
        self._damage: dict[Path, str] = {}
        self._pieces = self._round()

    def __call__(self) -> list[str]:
        try:
            next(self._pieces)
        except StopIteration:
            self._pieces = self._round()
        return [self._damage[path] for path in sorted(self._damage)]

    def _round(self) -> Iterator[None]:
        """Once through all segments."""
        paths = segments(self._directory)
        self._damage = {path: text for path, text in self._damage.items() if path in paths}
        for path, after in pairwise(paths):
            yield from self._segment(path, first_seq_of(after))
        yield

    def _segment(self, path: Path, wanted_seq: int) -> Iterator[None]:
        """wanted_seq: with which the next segment begins."""
        try:
            data = self._opened(path)
        except FileNotFoundError:
            return  # removed meanwhile: no snapshot needs it
        end, next_seq, piece = 0, first_seq_of(path), PIECE_BYTES
        for block in blocks.scan(data, None):
            if block.first_seq != next_seq:
                break
            end, next_seq = block.end, block.first_seq + block.commands
            if end >= piece:
                piece = end + PIECE_BYTES
                yield
        if next_seq == wanted_seq and not used(data[end:]):
            self._damage.pop(path, None)
        else:
            self._damage[path] = f"{path.name}: damaged at byte {end}, sequence number {next_seq}"
