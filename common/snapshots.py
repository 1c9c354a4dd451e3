"""Snapshots of a shard: what its state was after a block, so that a start need not replay all.

A snapshot is a directory named by the sequence number, with one file per part (engine, risk,
marketdata): a line of magic and version, crc32, then msgpack of (seq, crc of the block, time of
the last command, state). It appears whole or not at all; the two newest are kept.
"""

import os
import shutil
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from rtes.common import failpoint
from rtes.common.journal import Point
from rtes.common.records import encode
from rtes.common.storage import replace, sync_directory

KEPT: Final = 2
ENGINE: Final = "engine"
RISK: Final = "risk"
MARKET_DATA: Final = "marketdata"
PARTS: Final = (ENGINE, RISK, MARKET_DATA)
_HEADER: Final = struct.Struct(">8sII")  # magic, version, crc32
_MAGIC: Final = b"RTESNAP\n"
_VERSION: Final = 2  # of the header and of what the parts hold


class SnapshotError(RuntimeError):
    """A snapshot file is damaged, or of another version."""


class Snapshot(NamedTuple):
    """One part: the state after the block that ends at `point`; state is still encoded."""

    point: Point
    time_ns: int  # of the last command
    state: bytes


class _Stored(NamedTuple):
    seq: int
    crc: int
    time_ns: int
    state: msgspec.Raw


_decode = msgspec.msgpack.Decoder(_Stored).decode


def parse(data: bytes, where: str) -> Snapshot:
    """The content of a file. Raises SnapshotError, which says where."""
    if len(data) < _HEADER.size:
        raise SnapshotError(f"{where}: {len(data)} bytes are no snapshot")
    magic, version, crc = _HEADER.unpack_from(data)
    body = memoryview(data)[_HEADER.size :]
    if (magic, version) != (_MAGIC, _VERSION) or zlib.crc32(body) != crc:
        raise SnapshotError(f"{where}: damaged, or of another version; remove the snapshot")
    stored = _decode(body)
    return Snapshot(Point(stored.seq, stored.crc), stored.time_ns, bytes(stored.state))


class Snapshots:
    """The snapshots in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def seqs(self) -> list[int]:
        """Of all snapshots, oldest first."""
        return sorted(int(p.name) for p in self.directory.glob("[0-9]*") if p.name.isdigit())

    def _path(self, seq: int, part: str) -> Path:
        return self.directory / f"{seq:020d}" / part

    def write(self, point: Point, time_ns: int, parts: Mapping[str, Any]) -> None:
        """Add a snapshot and remove the oldest beyond those kept."""
        building = self.directory / "building"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True, mode=0o700)
        for part, state in parts.items():
            body = encode((point.seq, point.crc, time_ns, state))
            replace(building / part, _HEADER.pack(_MAGIC, _VERSION, zlib.crc32(body)) + body)
            failpoint.at("snapshot.part")
        made = self.directory / f"{point.seq:020d}"
        if made.exists():  # and could not be read: until the rename an older one counts
            shutil.rmtree(made)
        building.rename(made)
        sync_directory(self.directory)
        failpoint.at("snapshot.written")
        for seq in self.seqs()[:-KEPT]:
            shutil.rmtree(self.directory / f"{seq:020d}")

    def read(self, seq: int, part: str) -> Snapshot:
        """Raises SnapshotError, which names the file."""
        path = self._path(seq, part)
        try:
            return parse(path.read_bytes(), str(path))
        except OSError as error:
            raise SnapshotError(f"{path}: {error}") from None

    def piece(self, seq: int, part: str, offset: int, size: int) -> tuple[int, bytes]:
        """(size of the file, at most size bytes of it from offset on); (0, b"") without one."""
        if part not in PARTS:
            return 0, b""
        try:
            with self._path(seq, part).open("rb") as file:
                file.seek(offset)
                return os.fstat(file.fileno()).st_size, file.read(size)
        except OSError:
            return 0, b""

    def forget_after(self, seq: int) -> None:
        """Remove what is newer than seq."""
        for newer in [s for s in self.seqs() if s > seq]:
            shutil.rmtree(self.directory / f"{newer:020d}")

    def newest(self, *parts: str) -> list[Snapshot] | None:
        """These parts of the newest snapshot in which all of them can be read; None: of none."""
        for seq in reversed(self.seqs()):
            try:
                return [self.read(seq, part) for part in parts]
            except SnapshotError:
                continue
        return None
