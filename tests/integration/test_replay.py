"""A LOBSTER file through the real gateway: the book that is left is the naive oracle's, and a
second run has the same digest. RTES_LOBSTER names a real file to try as well."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from rtes.client import Client
from rtes.client.bookview import BookView
from rtes.client.lobster import Message, Translator, parse
from rtes.client.testing import Mesh
from rtes.common.enums import Channel, MdEntryType
from rtes.common.messages import NewOrderSingle
from rtes.common.refdata import load_instruments

from tests.meshes import connect
from tests.oracle import Oracle

pytestmark = pytest.mark.mesh

ROWS = 3_000
MIDDLE = 585_7400  # AAPL's reference price, in the file's unit
BAND_PERCENT = 10
FULL = (100, 200, 300)
Queue = list[tuple[int, int]]  # (price in ticks, shown lots), who trades first first


def flow(count: int, seed: int = 3) -> Iterator[str]:
    """A made-up day: orders on both sides of a fixed price, reduced, deleted and executed; some
    rows are of orders from before, hidden, or far outside the band."""
    chance = Random(seed)
    left: dict[int, tuple[int, int, int]] = {}  # order id -> price, direction, size
    for number in range(1, count + 1):
        kind = chance.choice((1, 1, 1, 2, 3, 4, 4, 5))
        at = f"{34_200 + number / 1000:.9f}"
        if kind == 1 or not left:
            direction = chance.choice((1, -1))
            away = chance.choice((*range(100, 2_000, 100), 700_000))
            left[number] = (MIDDLE - direction * away, direction, chance.choice(FULL))
            price, direction, size = left[number]
            yield f"{at},1,{number},{size},{price},{direction}"
        elif kind == 5:
            yield f"{at},{chance.choice((3, 4, 5))},{10**6 + number},100,{MIDDLE},1"
        else:
            best = min(left, key=lambda i: (abs(left[i][0] - MIDDLE), i))
            order = best if kind == 4 else chance.choice(list(left))
            price, direction, size = left.pop(order)
            part = size if kind == 3 else chance.randint(1, size)
            if part < size:
                left[order] = (price, direction, size - part)
            yield f"{at},{kind},{order},{part},{price},{direction}"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    services = ("matcher", "archive", "risk", "gateway", "marketdata")
    with Mesh(tmp_path_factory.mktemp("replay"), services) as made:
        yield made


def files(directory: Path) -> list[Path]:
    """The made-up day, and the real one when there is one."""
    made = directory / "AAPL_made_up.csv"
    made.write_text("\n".join(flow(ROWS)) + "\n")
    real = os.environ.get("RTES_LOBSTER")
    return [made, Path(real)] if real else [made]


def replayed(mesh: Mesh, path: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-c", "from rtes.client.cli import main; main()", "replay"]
    done = subprocess.run(
        [*command, str(path), "--symbol", "AAPL", "--json", "--profile", str(mesh.config_file),
         *options],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def expected_book(mesh: Mesh, path: Path) -> dict[str, Queue]:
    """What the oracle has left of the same rows; risk's price band is the only thing added."""
    listed = {i.symbol: i for i in load_instruments(mesh.config.exchange.instruments).instruments}
    oracle = Oracle(["AAPL"])
    ids = {"resting_ids": itertools.count(1), "taking_ids": itertools.count(1)}
    translator = Translator("AAPL", "0.01", "1", **ids)
    actions = (translator.translate(parse(line)) for line in path.read_text().splitlines())
    for seq, action in enumerate(filter(None, actions), start=1):
        last_px = oracle.last_px["AAPL"] or listed["AAPL"].reference_price
        if not outside(action.message, last_px):
            tag, *fields = msgspec.to_builtins(action.message)
            oracle.apply((tag, 1 + action.taking, 0, *fields), seq, seq)
    return {side: [(o.price, o.shown) for o in oracle.queue("AAPL", side)] for side in "12"}


def outside(message: Message, last_px: int) -> bool:
    if not isinstance(message, NewOrderSingle):
        return False
    return abs(message.price - last_px) * 100 > BAND_PERCENT * last_px


def shown(book: BookView) -> dict[str, Queue]:
    """The book order by order, as market data shows it."""
    orders = list(book.orders.values())
    bids = [(o.price, o.qty) for o in orders if o.md_entry_type is MdEntryType.BID]
    asks = [(o.price, o.qty) for o in orders if o.md_entry_type is MdEntryType.OFFER]
    # sorting is stable: within a price they stay by priority
    return {"1": sorted(bids, key=lambda q: -q[0]), "2": sorted(asks, key=lambda q: q[0])}


def published_book(client: Client, expected: dict[str, Queue]) -> dict[str, Queue]:
    """What market data shows once it is as expected, or after 20 s: it may be behind."""
    with client.market_data(["AAPL"], [Channel.ORDERS]) as feed:
        book, deadline = feed.books["AAPL"], time.monotonic() + 20
        while (feed.stale or shown(book) != expected) and time.monotonic() < deadline:
            feed.poll(0.1)
        return shown(book)


def test_the_book_is_the_oracles_and_the_digest_repeats(mesh: Mesh, tmp_path: Path) -> None:
    for path in files(tmp_path):
        first, again = replayed(mesh, path), replayed(mesh, path)
        for key in ("sent", "skipped", "trades", "short", "left_open", "digest"):
            assert first[key] == again[key], key
        with connect(mesh, "DEMO1") as client:
            expected = expected_book(mesh, path)
            assert published_book(client, expected) == expected
        sent, skipped = sum(first["sent"].values()), sum(first["skipped"].values())
        assert sent + skipped == first["rows"] == len(path.read_text().splitlines())
        assert first["trades"]["resting"] == first["trades"]["taking"]
        assert all(refused["text"] for refused in first["refused"])
        assert {"PRICE_BAND"} <= {refused["name"] for refused in first["refused"]}


def test_speed_paces_by_the_rows_times(mesh: Mesh, tmp_path: Path) -> None:
    path = tmp_path / "AAPL_slow.csv"
    path.write_text("\n".join(flow(200)) + "\n")  # 0.2 s of flow
    assert replayed(mesh, path, "--speed", "0.2")["elapsed_s"] >= 0.95


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--symbol", "NONE"), "not listed"),
        (("--taker", "DEMO1"), "two accounts"),
        (("--speed", "fast"), "neither max nor a number"),
        (("--account", "NOBODY"), "no key for account NOBODY"),
    ],
)
def test_wrong_use_says_what_to_do(
    mesh: Mesh, tmp_path: Path, options: tuple[str, ...], why: str
) -> None:
    path = tmp_path / "AAPL_x.csv"
    path.write_text("34200.0,1,1,100,5857400,1\n")
    with pytest.raises(AssertionError, match=why):
        replayed(mesh, path, *options)


def test_a_bad_line_is_named(mesh: Mesh, tmp_path: Path) -> None:
    path = tmp_path / "AAPL_x.csv"
    path.write_text("34200.0,1,1,100,5857400,1\n34200.1,1,2,100\n")
    with pytest.raises(AssertionError, match=r"AAPL_x.csv:2: 4 columns"):
        replayed(mesh, path)
