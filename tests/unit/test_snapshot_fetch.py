"""A snapshot comes from the archive in pieces, whole or not at all."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rtes.common import snapshot_fetch
from rtes.common.curve import Reached
from rtes.common.journal import Point
from rtes.common.snapshots import ENGINE, PARTS, RISK, Snapshots
from rtes.common.sockets import Sockets
from rtes.services.archive import core as archive

STATE = {"engine": "e" * 10_000, "risk": "r" * 25_001, "marketdata": ""}


@pytest.fixture
def saved(tmp_path: Path) -> Snapshots:
    return Snapshots(tmp_path / "snapshots")


@pytest.fixture
def served(
    tmp_path: Path, saved: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reached]:
    """An archive that sends pieces of 1,000 bytes."""
    monkeypatch.setattr(archive, "ANSWER_BYTES_MAX", 1_000)
    core = archive.ArchiveCore(0, lambda _: iter(()), snapshots=saved)
    sockets, stopped = Sockets(), threading.Event()
    address = f"ipc://{tmp_path}/archive"
    sockets.router(archive.REQUESTS, address)

    def serve() -> None:
        while not stopped.is_set():
            for channel in sockets.wait(20):
                core.receive(channel, sockets.receive(channel), 0, 0)
            for send in core.outbox:
                sockets.send(*send)
            core.outbox.clear()
        sockets.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield address, None
    stopped.set()
    thread.join()


def test_all_pieces_make_the_same_as_the_files(saved: Snapshots, served: Reached) -> None:
    saved.write(Point(7, 1), 70, STATE)
    saved.write(Point(9, 2), 90, STATE)
    assert snapshot_fetch.newest(served, 0, PARTS) == saved.newest(*PARTS)


def test_of_a_damaged_one_the_one_before_is_taken(saved: Snapshots, served: Reached) -> None:
    saved.write(Point(7, 1), 70, STATE)
    saved.write(Point(9, 2), 90, STATE)
    path = saved.directory / f"{9:020d}" / RISK
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    found = snapshot_fetch.newest(served, 0, [ENGINE, RISK])
    assert found is not None
    assert [part.point.seq for part in found] == [7, 7]


def test_without_one_there_is_none(served: Reached) -> None:
    assert snapshot_fetch.newest(served, 0, [RISK]) is None


@pytest.mark.parametrize("part", ["../../keys/gateway.json", "", "building"])
def test_only_parts_are_served(saved: Snapshots, part: str) -> None:
    saved.write(Point(7, 1), 70, STATE)
    (saved.directory / "secret").write_text("x")
    assert saved.piece(7, part, 0, 100) == (0, b"")
    assert saved.piece(8, RISK, 0, 100) == (0, b"")
