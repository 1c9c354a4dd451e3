"""The journal: what was appended comes back; torn tails are cut; damage stops the start."""

import os
import shutil
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from rtes.common import blocks, storage
from rtes.common.journal import Journal, JournalCorruptError, Reader, segments
from rtes.common.journal_check import check


def write(directory: Path, count: int, segment_bytes: int = 4_096) -> list[bytes]:
    directory.mkdir(parents=True, exist_ok=True)
    journal = Journal(directory, 0, segment_bytes, 0)
    assert list(journal.recover()) == []
    payloads = [bytes([65 + i % 26]) * (50 + i) for i in range(count)]
    for i, payload in enumerate(payloads):
        journal.append(1, i + 1, 1, payload)
    journal.sync(0)
    journal.close()
    return payloads


@contextmanager
def opened(directory: Path) -> Iterator[tuple[list[bytes], Journal]]:
    """What a writer that starts there recovers, and the writer."""
    with closing(Journal(directory, 0, 4_096, 0)) as journal:
        yield [p for _, p in journal.recover()], journal


def read(directory: Path) -> list[bytes]:
    with opened(directory) as (found, _):
        return found


def test_blocks_come_back_over_segments(tmp_path: Path) -> None:
    payloads = write(tmp_path, 200)
    assert len(segments(tmp_path)) > 3
    with opened(tmp_path) as (found, journal):
        assert found == payloads
        journal.append(2, 201, 1, b"more")
    assert read(tmp_path) == [*payloads, b"more"]


def test_reader_starts_at_any_sequence_number(tmp_path: Path) -> None:
    payloads = write(tmp_path, 400, 16_384)  # a reader notes some blocks of each segment
    known = Reader(tmp_path)
    for seq in (1, 2, 77, 200, 399, 400, 3):
        for reader in (Reader(tmp_path), known):
            assert [p for _, p in reader.blocks_from(seq)] == payloads[seq - 1 :]
        next(known.blocks_from(seq + 1), None)  # and is left behind


def test_reader_sees_what_is_appended_meanwhile(tmp_path: Path) -> None:
    payloads = write(tmp_path, 10, 16_384)
    reading = Reader(tmp_path).blocks_from(9)
    assert next(reading)[1] == payloads[8]
    with opened(tmp_path) as (_, journal):
        journal.append(2, 11, 1, b"more")
    assert [p for _, p in reading] == [payloads[9], b"more"]


def test_reader_follows_block_by_block_into_the_next_segments(tmp_path: Path) -> None:
    write(tmp_path, 1)
    reader = Reader(tmp_path)
    assert len(list(reader.blocks_from(1))) == 1
    with opened(tmp_path) as (_, journal):
        for seq in range(2, 200):
            assert list(reader.blocks_from(seq)) == []
            journal.append(2, seq, 1, b"%d" % seq * 20)
            assert [p for _, p in reader.blocks_from(seq)] == [b"%d" % seq * 20]
    assert len(segments(tmp_path)) > 3
    (tmp_path / f"{200:020d}.seg").write_bytes(bytes(4_096))  # nothing is in it yet
    assert list(reader.blocks_from(200)) == list(reader.blocks_from(200)) == []


def test_reader_ends_at_damage_though_it_was_whole_before(tmp_path: Path) -> None:
    payloads = write(tmp_path, 200)
    reader = Reader(tmp_path)
    assert sum(1 for _ in reader.blocks_from(1)) == len(payloads)
    path = segments(tmp_path)[1]
    at = [b.offset for b in blocks.scan(memoryview(path.read_bytes()), None)][2]
    with path.open("r+b") as file:
        file.seek(at + blocks.HEADER_BYTES)
        file.write(b"?")
    assert [p for _, p in reader.blocks_from(1)] == payloads[: int(path.stem) + 1]


def test_truncation_at_every_byte_recovers_to_the_last_whole_block(tmp_path: Path) -> None:
    payloads = write(tmp_path / "a", 3)
    (segment,) = segments(tmp_path / "a")
    data = segment.read_bytes()
    ends = [b.end for b in blocks.scan(memoryview(data), 0)]
    for size in range(ends[-1] + 1):
        copy = tmp_path / "b"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        (copy / segment.name).write_bytes(data[:size] + b"\0" * 64)
        whole = sum(end <= size for end in ends)
        tail = data[ends[whole - 1] if whole else 0 : size]
        with opened(copy) as (found, journal):
            assert found == payloads[:whole]
            assert (journal.torn_bytes > 0) == bool(tail.strip(b"\0"))


@pytest.mark.parametrize("begun", [b"", b"RTEJ half a block"])
def test_a_snapshot_at_the_end_of_a_segment_whose_successor_is_new(
    tmp_path: Path, begun: bytes
) -> None:
    """The writer died between making a segment and its first whole block."""
    write(tmp_path, 30)
    with opened(tmp_path) as (_, journal):
        end = journal.end
    (tmp_path / f"{end.seq + 1:020d}.seg").write_bytes(begun.ljust(4_096, b"\0"))
    with closing(Journal(tmp_path, 0, 4_096, 0)) as journal:
        assert list(journal.recover(end)) == []
        assert (journal.end, journal.torn_bytes) == (end, len(begun))
        journal.append(2, end.seq + 1, 1, b"more")
    assert read(tmp_path)[-1] == b"more"


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    """In the last block it looks like a torn tail; before a valid block it refuses to start."""
    payloads = write(tmp_path / "a", 3)
    (segment,) = segments(tmp_path / "a")
    data = segment.read_bytes()
    ends = [b.end for b in blocks.scan(memoryview(data), 0)]
    copy = tmp_path / "b"
    copy.mkdir()
    for at in range(ends[-1]):
        changed = bytearray(data)
        changed[at] ^= 0xFF
        (copy / segment.name).write_bytes(changed)
        if at < ends[1]:
            damaged = ends[0] if at >= ends[0] else 0
            with pytest.raises(JournalCorruptError, match=f"byte {damaged},"):
                read(copy)
        else:
            assert read(copy) == payloads[:2]


def test_what_is_recovered_is_synced_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer may have died between append and sync."""
    with opened(tmp_path) as (_, journal):
        journal.append(1, 1, 1, b"not synced")
    with opened(tmp_path) as (found, successor):
        assert len(found) == 1
        synced: list[int] = []
        monkeypatch.setattr(os, "fdatasync", synced.append)
        successor.sync(1)
        assert len(synced) == 1


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    storage.lock(tmp_path)
    with pytest.raises(storage.AlreadyRunningError, match="another process"):
        storage.lock(tmp_path)


def test_epochs_only_grow(tmp_path: Path) -> None:
    assert [storage.next_epoch(tmp_path) for _ in range(3)] == [1, 2, 3]
    assert storage.next_epoch(tmp_path, 1_000) == 1_000
    assert storage.next_epoch(tmp_path, 500) == 1_001  # the clock went back


def test_a_reader_holds_no_pages_of_segments_it_is_done_with(tmp_path: Path) -> None:
    """Else the archive would seem to be as large as the journal."""
    write(tmp_path, 2_000, 1 << 18)
    paths = segments(tmp_path)
    reader = Reader(tmp_path)
    assert len(paths) > 3
    assert sum(1 for _ in reader.blocks_from(1)) == 2_000
    assert [resident_kib(path) > 0 for path in paths] == [False] * (len(paths) - 1) + [True]
    assert next(reader.blocks_from(2))[1] == next(Reader(tmp_path).blocks_from(2))[1]


def resident_kib(path: Path) -> int:
    """How much of a file is in this process's memory."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.endswith(str(path)))
    return next(int(line.split()[1]) for line in lines[at:] if line.startswith("Rss:"))


@pytest.mark.parametrize("present", [0, 1, 2])
def test_verify_takes_what_is_being_written_for_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: int
) -> None:
    """The rest is written between our coming to the end and our looking beyond it."""
    write(tmp_path, 4)
    (segment,) = segments(tmp_path)
    whole = segment.read_bytes()
    begun = [0, *(b.end for b in blocks.scan(memoryview(whole), 0))][present] + 20
    segment.write_bytes(whole[:begun] + b"\0" * (len(whole) - begun))
    look = blocks.valid_after

    def writing(data: memoryview, offset: int) -> int | None:
        with segment.open("r+b") as file:
            file.write(whole)
        return look(data, offset)

    monkeypatch.setattr(blocks, "valid_after", writing)
    (found,) = check(tmp_path)
    assert (found.damage, found.blocks, found.torn_bytes) == ("", 4, 0)


def test_a_journal_of_another_release_is_left_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (segment,) = segments(tmp_path)
    raw = bytearray(segment.read_bytes())
    raw[4:6] = struct.pack(">H", blocks.VERSION - 1)
    block = blocks.HEADER_BYTES + 50
    head = bytes(raw[: blocks.HEADER_BYTES - 4])
    crc = zlib.crc32(raw[blocks.HEADER_BYTES : block], zlib.crc32(head))
    raw[blocks.HEADER_BYTES - 4 : blocks.HEADER_BYTES] = struct.pack(">I", crc)
    segment.write_bytes(raw)
    with pytest.raises(JournalCorruptError, match=r"another release wrote it, .* of version 1;"):
        read(tmp_path)
    assert segment.read_bytes() == raw
