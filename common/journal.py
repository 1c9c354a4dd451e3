"""The journal on disk: a directory of preallocated segments named by their first sequence number.

One writer holds the lock. Appended bytes survive kill -9 once written, power loss once synced.
An error of fdatasync stops the process: the kernel may have dropped the pages. The next segment
is prepared while half of the present one is free, so a full disk is known long before it hurts.
"""

import errno
import mmap
import os
from array import array
from bisect import bisect_right
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from rtes.common import blocks, failpoint
from rtes.common.invariant import invariant
from rtes.common.native import mypyc_attr
from rtes.common.storage import sync_directory

SUFFIX: Final = ".seg"
PREPARED: Final = "next.tmp"
HEAD: Final = "head"
HEAD_INTERVAL_NS: Final = 1_000_000_000
_CHUNK_BYTES: Final = 1 << 20  # looked at in one comparison
_INDEX_BYTES: Final = 4_096  # a reader notes a block every so often, and reads on from there
NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)


@mypyc_attr(native_class=False)
class JournalCorruptError(RuntimeError):
    """Valid data follows damage, or told data is missing: nothing was changed, an operator must
    decide."""


class Point(NamedTuple):
    """A place between two blocks: the last sequence number before it, and that block's crc."""

    seq: int
    crc: int


BEGINNING: Final = Point(0, 0)


def segments(directory: Path) -> list[Path]:
    """The segments in order of sequence number."""
    return sorted(directory.glob(f"*{SUFFIX}"))


def first_seq_of(segment: Path) -> int:
    return int(segment.stem)


def mapped(path: Path) -> memoryview:
    """The bytes of a segment, also those that its writer will still append."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def used(data: memoryview) -> int:
    """How many bytes there are up to the last one that is not zero."""
    zeroes, end = bytes(_CHUNK_BYTES), len(data)
    while end > 0:
        start = max(0, end - _CHUNK_BYTES)
        if bytes(data[start:end]) != zeroes[: end - start]:
            return start + len(bytes(data[start:end]).rstrip(b"\0"))
        end = start
    return 0


class _Segment:
    """One segment as a reader knows it: where every so many bytes a block begins, as far as it
    was read."""

    def __init__(self, path: Path) -> None:
        self._data = mapped(path)
        self._first_seq = first_seq_of(path)
        self._seqs = array("Q")
        self._offsets = array("Q")
        self._index_from = 0

    def release(self) -> None:
        """Stay mapped, but hold no pages: what was read once would count as ours for ever."""
        if isinstance(self._data.obj, mmap.mmap):
            self._data.obj.madvise(mmap.MADV_DONTNEED)

    def blocks_from(self, seq: int) -> Generator[tuple[blocks.StoredBlock, bytes], None, int]:
        """All valid blocks that end at or after seq; returns the sequence number after them."""
        at = bisect_right(self._seqs, seq) - 1
        next_seq = self._first_seq
        for block in blocks.scan(self._data, None, self._offsets[at] if at >= 0 else 0):
            if block.offset >= self._index_from:
                self._seqs.append(block.first_seq)
                self._offsets.append(block.offset)
                self._index_from = block.offset + _INDEX_BYTES
            next_seq = block.first_seq + block.commands
            if next_seq > seq:
                yield block, blocks.payload(self._data, block)
        return next_seq


class Reader:
    """Reads a journal's blocks from any point, also while another process appends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segments: dict[Path, _Segment] = {}
        self._last: _Segment | None = None  # that was read

    @property
    def first_seq(self) -> int:
        """The oldest sequence number that is still here; 1 when nothing is."""
        paths = segments(self._directory)
        return first_seq_of(paths[0]) if paths else 1

    @property
    def last_segment_seq(self) -> int:
        """The first sequence number of the newest segment; 1 when there is none."""
        paths = segments(self._directory)
        return first_seq_of(paths[-1]) if paths else 1

    @property
    def last_seq(self) -> int:
        """The last sequence number of the newest segment; 0 when there is none."""
        paths = segments(self._directory)
        if not paths:
            return 0
        last_seq = first_seq_of(paths[-1]) - 1
        for block in blocks.scan(mapped(paths[-1]), None):
            last_seq = block.first_seq + block.commands - 1
        return last_seq

    def blocks_from(self, seq: int) -> Iterator[tuple[blocks.StoredBlock, bytes]]:
        """All valid blocks that end at or after seq, until the first gap or damage."""
        paths = segments(self._directory)
        self._segments = {p: self._segments.get(p) or _Segment(p) for p in paths}
        at = max(0, bisect_right([first_seq_of(p) for p in paths], seq) - 1)
        wanted = None
        for path in paths[at:]:
            segment = self._segments[path]
            if wanted is not None and first_seq_of(path) != wanted:
                return
            if self._last is not None and self._last is not segment:
                self._last.release()
            self._last = segment
            wanted = yield from segment.blocks_from(seq)


class Journal:
    """The writer's end. Recover first (`recover`), then append and sync; at last `close`."""

    def __init__(
        self, directory: Path, shard: int, segment_bytes: int, sync_interval_ns: int | None
    ) -> None:
        """sync_interval_ns: 0 syncs every batch, None never, else at most that often."""
        self._directory = directory
        self._shard = shard
        self._segment_bytes = segment_bytes
        self._sync_interval_ns = sync_interval_ns
        self._synced_ns = 0
        self._dirty = False
        self._fd = -1
        self._offset = 0
        self._end = 0
        self._crc = 0
        self._last_seq = 0
        self._head_fd = os.open(directory / HEAD, os.O_RDWR | os.O_CREAT, 0o600)
        self._head_ns = 0
        self.torn_bytes = 0
        self.writable = True  # False: the disk is full, what is left is for cancels

    def close(self) -> None:
        """Nothing can be appended any more; what was not synced stays so."""
        for fd in (self._fd, self._head_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._head_fd = -1

    # ------------------------------------------------------------ recovery

    def recover(self, after: Point = BEGINNING) -> Iterator[tuple[blocks.StoredBlock, bytes]]:
        """Yield every block after a point; at the end the journal is ready to append.

        A torn tail is cut off and counted in torn_bytes. Raises JournalCorruptError."""
        paths = self._segments_after(after.seq)
        chained = None if paths and first_seq_of(paths[0]) <= after.seq else after.crc
        if paths and chained is not None:  # it may be empty still: its writer died as it was new
            self._last_seq = after.seq
        for i, path in enumerate(paths):
            data = mapped(path)
            self._offset = 0
            for block in blocks.scan(data, chained):
                chained, self._offset = block.crc, block.end
                self._last_seq = block.first_seq + block.commands - 1
                if block.first_seq > after.seq:
                    yield block, blocks.payload(data, block)
                elif self._last_seq == after.seq and block.crc != after.crc:
                    raise JournalCorruptError(
                        f"{path.name}: not the journal that the snapshot at {after.seq} is of. "
                        f"Restore both from one copy."
                    )
            if self._torn_at(paths[i:], data):
                for empty in paths[i + 1 :]:
                    empty.unlink()
                paths = paths[: i + 1]
                break
        self._crc = chained or 0
        self._check_told(after.seq)
        if paths:
            self._open(paths[-1])

    def _segments_after(self, seq: int) -> list[Path]:
        """Those that hold what follows seq; the first may begin before it."""
        paths = segments(self._directory)
        at = bisect_right([first_seq_of(p) for p in paths], seq + 1) - 1
        if at < 0 and paths:
            raise self._missing(seq + 1, first_seq_of(paths[0]) - 1)
        return paths[max(0, at) :]

    def _torn_at(self, paths: list[Path], data: memoryview) -> bool:
        """Is the first of paths torn where the valid blocks end? Then nothing valid may follow."""
        version = blocks.version_of(data, self._offset)
        if version not in (0, blocks.VERSION):
            raise JournalCorruptError(
                f"{paths[0].name}: another release wrote it, with journals of version {version}; "
                f"this one has {blocks.VERSION}. Nothing was changed. Start that release, or move "
                f"the journal and the snapshots away to start empty."
            )
        torn = used(data[self._offset :])
        bad = torn and blocks.valid_after(data, self._offset) is not None
        if bad or (torn and any(blocks.valid_after(mapped(p), 0) is not None for p in paths[1:])):
            raise JournalCorruptError(
                f"{paths[0].name}: damage at byte {self._offset}, valid data after it. Nothing "
                f"was changed. Restore the file from a copy, or move the journal away to start "
                f"empty."
            )
        self.torn_bytes = torn
        return torn > 0

    def _check_told(self, snapshot_seq: int) -> None:
        """The head file and the snapshots know of blocks that must be here."""
        text = os.pread(self._head_fd, 20, 0)
        told = max(snapshot_seq, int(text) if text.isdigit() else 0)
        if told > self._last_seq:
            raise self._missing(self._last_seq + 1, told)

    def _missing(self, first: int, last: int) -> JournalCorruptError:
        return JournalCorruptError(
            f"{self._directory}: sequence numbers {first} to {last} were told and are missing. "
            f"Nothing was changed. Restore the segments from a copy, or move the whole directory "
            f"away to start empty."
        )

    def _open(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR)
        self._end = os.fstat(self._fd).st_size
        self._dirty = True  # who wrote it may have died before its sync: sync before it is told
        if self.torn_bytes:  # zeroed, not truncated: readers have the file mapped
            os.pwrite(self._fd, bytes(self.torn_bytes), self._offset)
            os.fsync(self._fd)

    # ------------------------------------------------------------ writing

    @property
    def end(self) -> Point:
        """Where the next block goes."""
        return Point(self._last_seq, self._crc)

    def append(self, epoch: int, first_seq: int, commands: int, payload: bytes) -> None:
        """Write one block. Raises OSError (ENOSPC) before anything of it is visible."""
        data, crc = blocks.encode(self._shard, epoch, first_seq, commands, payload, self._crc)
        if self._offset + len(data) > self._end:
            self._next_segment(first_seq, len(data))
        if failpoint.due("journal.torn"):
            os.pwrite(self._fd, data[: len(data) // 2], self._offset)
            failpoint.die()
        written = os.pwrite(self._fd, data, self._offset)
        invariant(written == len(data), "a preallocated segment takes a whole block")
        failpoint.at("journal.appended")
        self._offset += written
        self._crc = crc
        self._last_seq = first_seq + commands - 1
        self._dirty = True

    def prepare(self) -> None:
        """Have the next segment ready before it is needed. When that cannot be, writable is
        False until it can; what is left of the present segment is then for cancels."""
        prepared = self._directory / PREPARED
        if self._offset <= self._end // 2 and self._fd >= 0:
            self.writable = True
            return
        if prepared.exists():
            self.writable = True
            return
        try:
            self._allocate(prepared, self._segment_bytes)
            self.writable = True
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            self.writable = False

    def _allocate(self, path: Path, size: int) -> None:
        free = os.statvfs(self._directory)
        if free.f_bavail * free.f_frsize < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            failpoint.at("journal.allocating")
            os.posix_fallocate(fd, 0, size)
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(fd)
        failpoint.at("journal.prepared")

    def _next_segment(self, first_seq: int, bytes_min: int) -> None:
        prepared = self._directory / PREPARED
        size = max(self._segment_bytes, bytes_min)
        if not prepared.exists() or prepared.stat().st_size < size:
            self._allocate(prepared, size)
        synced = self._sync_interval_ns is not None
        if self._fd >= 0:
            if synced:
                os.fdatasync(self._fd)
            os.close(self._fd)
        path = prepared.rename(self._directory / f"{first_seq:020d}{SUFFIX}")
        failpoint.at("journal.rolled")
        self._fd = os.open(path, os.O_RDWR)
        self._offset, self._end = 0, size
        if synced:
            sync_directory(self._directory)

    def sync(self, now_ns: int) -> None:
        """Make what was appended survive power loss, when the setting says that it is time."""
        interval_ns = self._sync_interval_ns
        if interval_ns is None or not self._dirty:
            return
        if now_ns - self._synced_ns >= interval_ns:
            os.fdatasync(self._fd)
            failpoint.at("journal.synced")
            self._dirty = False
            self._synced_ns = now_ns
            if now_ns - self._head_ns >= HEAD_INTERVAL_NS:
                self._head_ns = now_ns
                os.pwrite(self._head_fd, b"%020d" % self._last_seq, 0)
