"""Damage of old segments is found while the exchange runs, named, and forgotten once it is gone."""

from pathlib import Path

import pytest
from rtes.common.journal import Journal, segments
from rtes.services.snapshotter import scrub
from rtes.services.snapshotter.scrub import Scrub
from rtes.services.snapshotter.shell import from_disk


@pytest.fixture
def old(tmp_path: Path) -> list[Path]:
    """The segments of a journal, without the newest."""
    journal = Journal(tmp_path, 0, 4_096, None)
    assert list(journal.recover()) == []
    for i in range(200):
        journal.append(1, i + 1, 1, bytes([65 + i % 26]) * (50 + i))
    journal.close()
    found = segments(tmp_path)[:-1]
    assert len(found) > 3
    return found


def rounds(made: Scrub, count: int = 2) -> list[str]:
    """What is known after two whole rounds: the first may have been under way."""
    for _ in range(count * 60):
        found = made()
    return found


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("at", [0, 30, 100, 1_000])
def test_a_flipped_bit_is_found_and_forgotten_when_it_is_restored(old: list[Path], at: int) -> None:
    made = Scrub(old[0].parent, from_disk)
    assert rounds(made) == []
    flip(old[1], at)
    (text,) = rounds(made)
    assert text.startswith(f"{old[1].name}: damaged at byte ")
    flip(old[1], at)
    assert rounds(made) == []


def test_a_flipped_bit_of_the_last_block_of_a_segment_is_found(old: list[Path]) -> None:
    used = len(old[0].read_bytes().rstrip(b"\0"))
    flip(old[0], used - 1)
    assert len(rounds(Scrub(old[0].parent, from_disk))) == 1


def test_a_segment_that_is_gone_is_seen_at_the_one_before_it(old: list[Path]) -> None:
    old[2].unlink()
    (text,) = rounds(Scrub(old[0].parent, from_disk))
    assert text.startswith(old[1].name)


def test_what_was_removed_because_no_snapshot_needs_it_is_no_damage(old: list[Path]) -> None:
    made = Scrub(old[0].parent, from_disk)
    made()
    flip(old[0], 100)
    assert len(rounds(made)) == 1
    old[0].unlink()
    assert rounds(made) == []


def test_no_journal_and_one_segment_are_whole(tmp_path: Path) -> None:
    assert rounds(Scrub(tmp_path, from_disk)) == []


def test_a_call_reads_one_piece_only(old: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs it must get back to its work."""
    monkeypatch.setattr(scrub, "PIECE_BYTES", 1_000)
    flip(old[0], len(old[0].read_bytes().rstrip(b"\0")) - 1)
    made = Scrub(old[0].parent, from_disk)
    calls = next(n for n in range(1, 60) if made())
    assert calls >= 3
