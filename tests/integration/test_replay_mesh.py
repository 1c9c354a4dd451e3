"""Two replays of one file on two exchanges that know nothing of each other: every outcome is the
same, every refusal has its reason, and the book that is left is what a naive reckoning leaves.

RTES_LOBSTER names a real file to do the same with.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from rtes.client import replay
from rtes.client.testing import Mesh
from rtes.common.enums import Side
from rtes.common.refusals import CATALOGUE, Code

from tests.meshes import audit, check_trades, connect, told

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(600)]
ROWS = 200
MIDDLE = 585_7400  # AAPL's reference price, in the file's unit: 1/100 of a tick
Book = dict[tuple[int, int], int]  # (direction, price in ticks) -> lots


def day() -> Iterator[str]:
    """New orders away from the middle, which are then reduced, deleted or executed in part."""
    chance = Random(5)
    left: dict[int, list[int]] = {}  # order id -> price, direction, size
    for number in range(1, ROWS + 1):
        kind = chance.choice((1, 1, 2, 3, 4, 4))
        if kind == 1 or not left:
            direction = chance.choice((1, -1))
            kind, order = 1, number
            left[order] = [MIDDLE - direction * 100 * chance.randint(1, 9), direction, 100]
            size = 100
        else:  # what is executed is the best order of its side, the oldest first
            side = chance.choice([o[1] for o in left.values()])
            order = min((i for i in left if left[i][1] == side), key=lambda i: -side * left[i][0])
            size = left[order][2] if kind == 3 else chance.randint(1, left[order][2])
        price, direction, _ = left[order]
        yield f"{34_200 + number / 100:.9f},{kind},{order},{size},{price},{direction}"
        if kind != 1:
            left[order][2] -= size
            if not left[order][2]:
                del left[order]


def reckoned(path: Path) -> Book:
    """What is left when every row says the truth: sizes added and taken away by order."""
    left: dict[str, int] = {}
    where: dict[str, tuple[int, int]] = {}
    for line in path.read_text().splitlines():
        _, kind, order, size, price, direction = line.split(",")[:6]
        if kind == "1":
            where[order], left[order] = (int(direction), int(price) // 100), int(size)
        elif order in left:
            left[order] -= int(size)
    book: Book = {}
    for order, lots in left.items():
        if lots > 0:
            book[where[order]] = book.get(where[order], 0) + lots
    return book


def left_in(mesh: Mesh) -> Book:
    """The book, as one uninterrupted execution of the journal leaves it."""
    depth = audit(mesh).books["AAPL"].depth
    sides = ((1, Side.BUY), (-1, Side.SELL))
    return {(way, price): qty for way, side in sides for price, qty, _ in depth(side, 10_000)}


def outcome(mesh: Mesh, path: Path) -> dict[str, Any]:
    """The report of a replay by two accounts of this exchange."""

    def of(account: str) -> Callable[..., Any]:
        return lambda **arguments: connect(mesh, account, **arguments)

    resting, taking = (replay.Party(of(name), "AAPL") for name in ("DEMO1", "DEMO2"))
    try:
        instrument = resting.client.instruments()["AAPL"]
        return replay.run(path, instrument, resting, taking, speed=0)
    finally:
        resting.client.close()
        taking.client.close()


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "made.csv"
    path.write_text("\n".join(day()) + "\n")
    return path


def twice(path: Path, directory: Path) -> Iterator[tuple[Mesh, dict[str, Any]]]:
    for name in ("one", "other"):
        (directory / name).mkdir()
        with Mesh(directory / name) as mesh:
            yield mesh, outcome(mesh, path)


def test_two_fresh_exchanges_agree(made: Path, tmp_path: Path) -> None:
    digests = []
    for mesh, report in twice(made, tmp_path):
        assert report["rows"] == ROWS
        assert report["refused"] == []
        assert report["skipped"] == {}
        assert left_in(mesh) == reckoned(made)
        assert report["trades"]["resting"] == report["trades"]["taking"]
        check_trades(told(mesh))
        digests.append(report["digest"])
    assert digests[0] == digests[1]


@pytest.mark.skipif("RTES_LOBSTER" not in os.environ, reason="RTES_LOBSTER names no file")
def test_a_real_day(tmp_path: Path) -> None:
    digests = []
    for mesh, report in twice(Path(os.environ["RTES_LOBSTER"]), tmp_path):
        assert sum(report["sent"].values()) + sum(report["skipped"].values()) == report["rows"]
        assert all(Code(r["code"]) in CATALOGUE and r["text"] for r in report["refused"])
        check_trades(told(mesh))
        audit(mesh)
        digests.append(report["digest"])
    assert digests[0] == digests[1]
