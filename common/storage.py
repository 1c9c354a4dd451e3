"""The only file that opens, locks, syncs and renames: the journal on disk.

A journal is a directory of preallocated segments named by their first sequence number. One
writer holds the lock. Appended bytes survive kill -9 once written, power loss once synced.
An error of fdatasync stops the process: the kernel may have dropped the pages.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rtes.common import blocks
from rtes.common.invariant import invariant

EXIT_ALREADY_RUNNING: Final = 70
EXIT_JOURNAL_CORRUPT: Final = 71
SEGMENT_SUFFIX: Final = ".seg"


class AlreadyRunningError(RuntimeError):
    """Another process holds the directory."""


class JournalCorruptError(RuntimeError):
    """Valid data follows damage: nothing was changed, an operator must decide."""


def lock(directory: Path) -> int:
    """Take a directory for this process alone; returns the descriptor that holds it, which
    even kill -9 lets go.

    Raises AlreadyRunningError when another process has it."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise AlreadyRunningError(f"another process holds {directory}") from None
    return fd


def next_epoch(directory: Path) -> int:
    """Count one more start of the process that owns directory, durably, and return it."""
    path = directory / "epoch"
    epoch = int(path.read_text()) + 1 if path.exists() else 1
    temporary = directory / "epoch.tmp"
    with temporary.open("w") as file:
        file.write(str(epoch))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    _sync_directory(directory)
    return epoch


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def segments(directory: Path) -> list[Path]:
    """The segments in order of sequence number."""
    return sorted(directory.glob(f"*{SEGMENT_SUFFIX}"))


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


class Reader:
    """Reads a journal's blocks in order, also while another process appends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def blocks_from(self, seq: int) -> Iterator[tuple[blocks.StoredBlock, bytes]]:
        """All valid blocks that end at or after seq, until the first gap or damage."""
        paths = segments(self._directory)
        starts = [int(p.stem) for p in paths]
        first = max((i for i, s in enumerate(starts) if s <= seq), default=0)
        previous: int | None = None
        for path in paths[first:]:
            data = _mapped(path)
            offset = 0
            while (block := blocks.read(data, offset, previous)) is not None:
                offset, previous = block.end, block.crc
                if block.first_seq + block.commands > seq:
                    yield block, blocks.payload(data, block)


class Journal:
    """The writer's end. Recover first (`recover`), then append and sync."""

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
        self.torn_bytes = 0

    def recover(self) -> Iterator[tuple[blocks.StoredBlock, bytes]]:
        """Yield every block; at the end the journal is ready to append.

        A torn tail is cut off and counted in torn_bytes. Raises JournalCorruptError."""
        paths = segments(self._directory)
        for i, path in enumerate(paths):
            data = _mapped(path)
            self._offset = 0
            for block in blocks.scan(data, self._crc):
                self._crc, self._offset = block.crc, block.end
                yield block, blocks.payload(data, block)
            self._check_tail(path, data, last=i == len(paths) - 1)
        if paths:
            self._open(paths[-1])
            self._cut_tail()

    def _check_tail(self, path: Path, data: memoryview, last: bool) -> None:
        bad = blocks.valid_after(data, self._offset)
        rest = bytes(data[self._offset :])
        torn = len(rest.rstrip(b"\0"))
        if bad is not None or (torn and not last):
            raise JournalCorruptError(
                f"{path.name}: damage at byte {self._offset}, valid data after it. Nothing was "
                f"changed. Restore the file from a copy, or move the journal away to start empty."
            )
        self.torn_bytes = torn

    def _open(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR)
        self._end = os.fstat(self._fd).st_size

    def _cut_tail(self) -> None:
        if self.torn_bytes:
            os.ftruncate(self._fd, self._offset)
            os.posix_fallocate(self._fd, 0, self._end)
            os.fsync(self._fd)

    def append(self, epoch: int, first_seq: int, commands: int, payload: bytes) -> None:
        """Write one block. Raises OSError (ENOSPC) before anything of it is visible."""
        data, crc = blocks.encode(
            self._shard, epoch, first_seq, commands, payload, self._crc
        )
        if self._offset + len(data) > self._end:
            self._next_segment(first_seq, len(data))
        written = os.pwrite(self._fd, data, self._offset)
        invariant(written == len(data), "a preallocated segment takes a whole block")
        self._offset += written
        self._crc = crc
        self._dirty = True

    def _next_segment(self, first_seq: int, bytes_min: int) -> None:
        path = self._directory / f"{first_seq:020d}{SEGMENT_SUFFIX}"
        size = max(self._segment_bytes, bytes_min)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        if self._fd >= 0:
            if self._sync_interval_ns is not None:
                os.fdatasync(self._fd)
            os.close(self._fd)
        self._fd, self._offset, self._end = fd, 0, size
        _sync_directory(self._directory)

    def sync(self, now_ns: int) -> None:
        """Make what was appended survive power loss, when the setting says that it is time."""
        interval_ns = self._sync_interval_ns
        if self._dirty and interval_ns is not None and now_ns - self._synced_ns >= interval_ns:
            os.fdatasync(self._fd)
            self._dirty = False
            self._synced_ns = now_ns
