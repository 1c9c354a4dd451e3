"""What the page is told: rates and latencies of the last seconds, changes, and the books."""

from typing import Any

import msgspec
from rtes.common.enums import Channel
from rtes.common.histogram import Histogram
from rtes.common.marketdata import (
    MarketDataRequest,
    PriceLevel,
    SnapshotFullRefresh,
    encode,
)
from rtes.common.refdata import Instrument
from rtes.services.health.books import Books
from rtes.services.health.core import Health, Report, Snapshot
from rtes.services.health.history import POINTS_MAX, History

OWN = Snapshot("health", 0, 1, 0, True)
KEY = ("gateway", 0)


def gateway(orders: float, **more: Any) -> dict[tuple[str, int], Snapshot]:
    counters = {"rtes_orders_total.taken": orders}
    return {KEY: Snapshot("gateway", 0, 1, 0, True, counters=counters, **more)}


def report() -> Report:
    return Health({}).report(0, OWN)


def test_rates_are_those_of_the_last_five_seconds() -> None:
    history = History()
    for second in range(12):
        history.second(gateway(100.0 * min(second, 6)), report(), 1_000.0 + second)
    rates = [point["rates"]["taken"] for point in history.points]
    assert rates == [100] * 6 + [80, 60, 40, 20, 0]


def test_a_restart_is_no_spike() -> None:
    history = History()
    for second, orders in enumerate((1_000_000, 1_000_100, 50, 150)):
        history.second(gateway(orders), report(), 1_000.0 + second)
    assert [p["rates"]["taken"] for p in history.points] == [100, 75, 83.3]


def test_who_is_heard_late_after_a_restart_of_health_is_no_spike() -> None:
    history = History()
    history.second({}, report(), 1_000.0)
    for second, orders in enumerate((1_000_000, 1_000_050)):
        history.second(gateway(orders), report(), 1_001.0 + second)
    assert [p["rates"]["taken"] for p in history.points] == [0, 25]


def test_latency_is_that_of_new_orders_and_null_without_any() -> None:
    history, took = History(), Histogram()
    took.observe(10**9, 1_000)  # long ago
    for second in range(8):
        if second == 1:
            took.observe(1_000_000, 100)
        told = took.wire()
        wire = {"rtes_order_ack_seconds": (told[0], list(told[1]))}
        history.second(gateway(0, histograms=wire), report(), 1_000.0 + second)
    medians = [p["latency"]["report"][0] for p in history.points]
    assert all(0.0008 < m < 0.0012 for m in medians[:5])
    assert medians[5:] == [None, None]


def test_changes_are_of_status_and_reason_and_not_of_numbers() -> None:
    history, health = History(), Health({KEY: True})
    alive = msgspec.msgpack.encode(gateway(0)[KEY])
    health.poll([alive], 0)
    for second in range(1, 6):
        if second == 4:
            health.poll([alive], second * 10**9)
        history.second({}, health.report(second * 10**9, OWN), 1_000.0 + second)
    told = [(c["who"], c["status"], c["text"]) for c in history.changes]
    assert told == [
        ("gateway 0", "healthy", "all checks pass"),
        ("gateway 0", "unhealthy", "silent for 2.0 s"),
    ]


def test_it_keeps_five_minutes() -> None:
    history = History()
    for second in range(POINTS_MAX + 50):
        history.second(gateway(0), report(), 1_000.0 + second)
    assert len(history.points) == POINTS_MAX


def test_books_are_those_of_the_snapshots() -> None:
    books = Books([Instrument(symbol="AAPL", reference_price=1)])
    wanted = [msgspec.msgpack.decode(r, type=MarketDataRequest) for _, r in books.requests()]
    assert {(w.symbol, w.channel) for w in wanted} == {("AAPL", "depth"), ("AAPL", "trades")}
    assert books.tree()[0]["known"] is False
    head = SnapshotFullRefresh(1, 9, "AAPL", Channel.DEPTH, 2, 0)
    rows = [
        PriceLevel(1, 9, "AAPL", "0", side, 1, price, size, 3, 0)  # type: ignore[arg-type]
        for side, price, size in (("0", 58_500, 7), ("1", 58_600, 8))
    ]
    books.take(encode([head, *rows]))
    (book,) = books.tree()
    assert book["bids"] == [["585.00", 7, 3]]
    assert book["offers"] == [["586.00", 8, 3]]
    assert book["known"] is True


def test_what_is_no_snapshot_of_ours_is_passed_over() -> None:
    books = Books([Instrument(symbol="AAPL", reference_price=1)])
    other = SnapshotFullRefresh(1, 9, "MSFT", Channel.DEPTH, 0, 0)
    for frame in (b"", b"\xc1", encode([]), encode([other])):
        books.take(frame)
    assert books.tree()[0]["known"] is False
