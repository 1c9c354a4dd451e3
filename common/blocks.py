"""How blocks lie in the journal: header, chain of checksums, torn-tail scan. Pure.

header = magic, version, shard, epoch, first_seq, commands, length, previous_crc, crc
crc covers the header (without itself) and the payload, previous_crc chains the blocks, so a
changed, missing or misplaced block is found. Zeroes after the last block are preallocated space.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

MAGIC: Final = b"RTEJ"
VERSION: Final = 2  # of header and payload; one more whenever either changes
_BODY: Final = struct.Struct(">4sHHQQIII")
_CRC: Final = struct.Struct(">I")
HEADER_BYTES: Final = _BODY.size + _CRC.size
PAYLOAD_BYTES_MAX: Final = 1 << 28


class StoredBlock(NamedTuple):
    """One block found in a segment; offset and end are byte positions in it."""

    shard: int
    epoch: int
    first_seq: int
    commands: int
    crc: int
    offset: int
    end: int


def encode(
    shard: int, epoch: int, first_seq: int, commands: int, payload: bytes, previous_crc: int
) -> tuple[bytes, int]:
    """The bytes to append and their crc, which the next block chains to."""
    body = _BODY.pack(
        MAGIC, VERSION, shard, epoch, first_seq, commands, len(payload), previous_crc
    )
    crc = zlib.crc32(payload, zlib.crc32(body))
    return body + _CRC.pack(crc) + payload, crc


def read(
    data: memoryview, offset: int, previous_crc: int | None, version: int = VERSION
) -> StoredBlock | None:
    """The valid block at offset, or None. previous_crc None: the chain is not checked."""
    if offset + HEADER_BYTES > len(data):
        return None
    magic, found, shard, epoch, first_seq, commands, length, previous = _BODY.unpack_from(
        data, offset
    )
    if magic != MAGIC or found != version or length > PAYLOAD_BYTES_MAX:
        return None
    end = offset + HEADER_BYTES + length
    if end > len(data) or (previous_crc is not None and previous != previous_crc):
        return None
    (crc,) = _CRC.unpack_from(data, offset + _BODY.size)
    body = data[offset : offset + _BODY.size]
    if zlib.crc32(data[offset + HEADER_BYTES : end], zlib.crc32(body)) != crc:
        return None
    return StoredBlock(shard, epoch, first_seq, commands, crc, offset, end)


def version_of(data: memoryview, offset: int) -> int:
    """The version of the valid block at offset, whichever release wrote it; 0: there is none."""
    if offset + HEADER_BYTES > len(data):
        return 0
    version: int = _BODY.unpack_from(data, offset)[1]
    return version if read(data, offset, None, version) is not None else 0


def scan(
    data: memoryview, previous_crc: int | None, offset: int = 0
) -> Iterator[StoredBlock]:
    """The chained blocks from offset up to the first that is not valid; previous_crc None:
    whatever the first one chains to."""
    while (block := read(data, offset, previous_crc)) is not None:
        yield block
        offset, previous_crc = block.end, block.crc


def valid_after(data: memoryview, offset: int) -> int | None:
    """The offset of any valid block beyond offset: its presence makes damage out of a torn tail."""
    raw = bytes(data[offset:])
    at = raw.find(MAGIC)
    while at != -1:
        if read(data, offset + at, None) is not None:
            return offset + at
        at = raw.find(MAGIC, at + 1)
    return None


def payload(data: memoryview, block: StoredBlock) -> bytes:
    """The payload of a block that scan or read returned for data."""
    return bytes(data[block.offset + HEADER_BYTES : block.end])
