"""The matcher's disk: what it does with errors, and what it knows of the starts before it."""

import errno
import os
from pathlib import Path

import pytest
from rtes.common.journal import Journal
from rtes.common.refdata import Instrument
from rtes.services.matcher.core import MatcherCore
from rtes.services.matcher.engine import Engine
from rtes.services.matcher.failure import CommandFailedError
from rtes.services.matcher.shell import (
    CRASHES_MAX,
    FORGET_NS,
    POISONED_MAX,
    Crashes,
    TooManyPoisonedError,
    Writer,
)

NOW_NS = 1_700_000_000_000_000_000
KEY = (7, 21)


def core() -> MatcherCore:
    return MatcherCore(0, 1, Engine(0, [Instrument(symbol="AAPL", reference_price=100)]))


def crash(directory: Path, key: tuple[int, int], at_ns: int = NOW_NS) -> None:
    """A start that ends with key in hand."""
    in_hand = Crashes(directory, at_ns).in_hand
    in_hand[0], in_hand[1] = key


def test_an_error_of_the_disk_is_not_taken_for_a_success(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0, 4_096, 0)
    list(journal.recover())
    journal.append(1, 1, 1, b"block")
    reading, writing = os.pipe()
    os.dup2(writing, journal._fd)  # what can be written and cannot be synced
    with pytest.raises(OSError, match="Invalid") as failed:
        Writer(core(), journal, 1).commit()
    assert failed.value.errno == errno.EINVAL
    for fd in (reading, writing):
        os.close(fd)
    journal.close()


def test_a_key_in_hand_at_two_ends_is_refused_at_the_third_start(tmp_path: Path) -> None:
    assert CRASHES_MAX == 2
    crash(tmp_path, KEY)
    crash(tmp_path, KEY)
    assert Crashes(tmp_path, NOW_NS).poisoned == [KEY]
    assert Crashes(tmp_path, NOW_NS).poisoned == [KEY]  # also when it did not get that far


def test_one_end_is_no_proof_and_an_old_one_is_forgotten(tmp_path: Path) -> None:
    crash(tmp_path, KEY)
    crash(tmp_path, (7, 22))
    assert Crashes(tmp_path, NOW_NS).poisoned == []
    crash(tmp_path, KEY, NOW_NS + FORGET_NS)
    assert Crashes(tmp_path, NOW_NS + FORGET_NS).poisoned == []


def test_more_than_a_few_poisoned_are_no_accident(tmp_path: Path) -> None:
    for i in range(POISONED_MAX):
        crash(tmp_path, (1, i + 1))
        crash(tmp_path, (1, i + 1))
    crash(tmp_path, (2, 1))
    crash(tmp_path, (2, 1))
    with pytest.raises(TooManyPoisonedError, match="not the commands that are wrong"):
        Crashes(tmp_path, NOW_NS)


def test_what_failed_is_kept_with_its_traceback(tmp_path: Path) -> None:
    crashes = Crashes(tmp_path, NOW_NS)
    try:
        try:
            raise ZeroDivisionError("of the engine")
        except ZeroDivisionError as error:
            raise CommandFailedError(("D", 7, NOW_NS, 21)) from error
    except CommandFailedError as failed:
        crashes.keep_aside(failed)
    assert "ZeroDivisionError: of the engine" in (tmp_path / "7-21.json").read_text()
