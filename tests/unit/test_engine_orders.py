"""New orders: each type and time in force, what is told, and what stays in the book."""

import pytest
from rtes.common.enums import ExecType, Liquidity, OrdStatus
from rtes.common.messages import ExecutionReport
from rtes.common.refusals import CATALOGUE, Code

from tests.unit.enginedesk import ANN, BOB, CAT, START_NS, Desk

NEW, TRADE, CANCELED = ExecType.NEW, ExecType.TRADE, ExecType.CANCELED
RESTATED, EXPIRED = ExecType.RESTATED, ExecType.EXPIRED
HOUR_NS = 3_600 * 10**9


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_limit_order_rests_and_is_told(desk: Desk) -> None:
    cl_ord_id = desk.buy(ANN, 10, 99)
    assert desk.only(ANN) == ExecutionReport(
        0, 1, NEW, OrdStatus.NEW, cl_ord_id, 1, 1, "AAPL", "1", 10, 0, START_NS + 1, 10, 99
    )
    assert desk.depth("1") == [(99, 10, 1)]
    assert desk.chunks[0][:4] == (ANN, 1, 1, 1)


def test_a_trade_prints_at_the_resting_price_and_is_told_to_both(desk: Desk) -> None:
    resting = desk.sell(BOB, 10, 101)
    aggressor = desk.buy(ANN, 4, 105)
    new, bought = desk.told[ANN]
    assert new.exec_type is NEW
    sold = desk.only(BOB)
    for report, cl_ord_id, status, leaves, liquidity in (
        (bought, aggressor, OrdStatus.FILLED, 0, Liquidity.REMOVED),
        (sold, resting, OrdStatus.PARTIALLY_FILLED, 6, Liquidity.ADDED),
    ):
        assert (report.exec_type, report.cl_ord_id) == (TRADE, cl_ord_id)
        assert (report.ord_status, report.leaves_qty) == (status, leaves)
        assert (report.last_qty, report.last_px, report.cum_qty) == (4, 101, 4)
        assert report.last_liquidity_ind == liquidity
        assert report.trd_match_id == 1
    assert desk.depth("2") == [(101, 6, 1)]
    assert desk.open(ANN) == []


def test_exec_ids_rise_over_all_accounts(desk: Desk) -> None:
    ids: list[int] = []
    for price in (101, 102):
        desk.sell(BOB, 5, price)
        ids += [report.exec_id for report in desk.told[BOB]]
        desk.buy(ANN, 5, 105)
        ids += sorted(report.exec_id for told in desk.told.values() for report in told)
        desk.ask("H", ANN, "AAPL", 1)
        ids.append(desk.only(ANN).exec_id)
    assert ids == list(range(1, 11))


def test_price_then_time(desk: Desk) -> None:
    desk.sell(ANN, 1, 102)
    desk.sell(BOB, 1, 101)
    desk.sell(CAT, 1, 101)
    desk.buy(ANN, 2, 102)
    assert desk.trades(BOB) == desk.trades(CAT) == [(1, 101)]
    assert desk.depth("2") == [(102, 1, 1)]


@pytest.mark.parametrize(
    ("ord_type", "price", "tif"), [("1", 0, "0"), ("1", 0, "3"), ("2", 101, "3")]
)
def test_what_ioc_and_market_leave_is_canceled(
    desk: Desk, ord_type: str, price: int, tif: str
) -> None:
    desk.sell(BOB, 4, 101)
    desk.buy(ANN, 10, price, ord_type=ord_type, tif=tif)
    assert desk.types(ANN) == [NEW, TRADE, CANCELED]
    last = desk.last(ANN)
    assert (last.ord_status, last.leaves_qty, last.cum_qty) == (OrdStatus.CANCELED, 0, 4)
    assert last.reject_code == (Code.NO_LIQUIDITY if ord_type == "1" else 0)
    assert desk.depth("1") == []


def test_a_market_order_without_anyone_never_rests(desk: Desk) -> None:
    """Fault 4 of the ancestor: it rested at price 0 and traded at 0.00 later."""
    desk.buy(ANN, 10, ord_type="1")
    last = desk.last(ANN)
    assert (last.reject_code, last.limit, last.value) == (Code.NO_LIQUIDITY, 0, 10)
    assert last.ord_rej_reason == CATALOGUE[Code.NO_LIQUIDITY].ord_rej_reason
    desk.sell(BOB, 10, 1)
    assert desk.types(BOB) == [NEW]
    assert desk.engine.books["AAPL"].last_px == 0


def test_fok_all_or_nothing(desk: Desk) -> None:
    desk.sell(BOB, 4, 101)
    desk.sell(BOB, 5, 102)
    desk.buy(ANN, 10, 102, tif="4")
    assert desk.types(ANN) == [NEW, CANCELED]
    assert (desk.last(ANN).limit, desk.last(ANN).value) == (9, 10)
    desk.buy(ANN, 9, 102, tif="4")
    assert desk.trades(ANN) == [(4, 101), (5, 102)]


def test_fok_counts_hidden_quantity(desk: Desk) -> None:
    desk.sell(BOB, 9, 101, display_qty=2)
    desk.buy(ANN, 9, 101, tif="4")
    assert sum(qty for qty, _ in desk.trades(ANN)) == 9


def test_min_qty_trades_at_once_or_not_at_all(desk: Desk) -> None:
    desk.sell(BOB, 4, 101)
    desk.buy(ANN, 10, 101, min_qty=5)
    assert desk.types(ANN) == [NEW, CANCELED]
    last = desk.last(ANN)
    assert (last.reject_code, last.limit, last.value) == (Code.NO_LIQUIDITY, 4, 5)
    desk.buy(ANN, 10, 101, min_qty=4)
    assert desk.types(ANN) == [NEW, TRADE]
    assert desk.depth("1") == [(101, 6, 1)]


def test_min_qty_is_of_the_entry_only(desk: Desk) -> None:
    desk.sell(BOB, 4, 101)
    cl_ord_id = desk.buy(ANN, 10, 101, min_qty=4)
    desk.replace(ANN, cl_ord_id, 10, 100)
    assert desk.depth("1") == [(100, 6, 1)]


def test_market_to_limit_rests_at_the_last_price(desk: Desk) -> None:
    desk.sell(BOB, 4, 101)
    desk.sell(BOB, 4, 103)
    cl_ord_id = desk.buy(ANN, 10, ord_type="K")
    assert desk.types(ANN) == [NEW, TRADE, TRADE, RESTATED]
    assert (desk.last(ANN).price, desk.last(ANN).leaves_qty) == (103, 2)
    assert desk.depth("1") == [(103, 2, 1)]
    desk.replace(ANN, cl_ord_id, 10, 100)  # it is a limit order now
    assert desk.depth("1") == [(100, 2, 1)]


@pytest.mark.parametrize("tif", ["0", "3"])
def test_market_to_limit_without_anyone_is_canceled(desk: Desk, tif: str) -> None:
    desk.buy(ANN, 10, ord_type="K", tif=tif)
    assert desk.types(ANN) == [NEW, CANCELED]
    assert desk.last(ANN).reject_code == Code.NO_LIQUIDITY


def test_an_iceberg_shows_slices_and_goes_to_the_tail_for_each(desk: Desk) -> None:
    desk.sell(ANN, 6, 101, display_qty=2)
    desk.sell(BOB, 2, 101)
    assert desk.depth("2") == [(101, 4, 2)]
    desk.buy(CAT, 3, 101)
    assert (desk.trades(ANN), desk.trades(BOB)) == ([(2, 101)], [(1, 101)])
    assert desk.depth("2") == [(101, 3, 2)]
    desk.buy(CAT, 5, 101)
    assert (desk.trades(BOB), desk.trades(ANN)) == ([(1, 101)], [(2, 101), (2, 101)])
    assert desk.depth("2") == []


@pytest.mark.parametrize("price", [101, 102])
def test_post_only_never_takes(desk: Desk, price: int) -> None:
    desk.sell(BOB, 4, 101)
    desk.buy(ANN, 1, price, exec_inst="6")
    report = desk.only(ANN)
    assert (report.exec_type, report.order_id, report.leaves_qty) == (ExecType.REJECTED, 0, 0)
    assert (report.reject_code, report.limit, report.value) == (
        Code.POST_ONLY_WOULD_TRADE, 101, price,
    )  # fmt: skip
    desk.buy(ANN, 1, 100, exec_inst="6")
    assert desk.types(ANN) == [NEW]


def test_expiry(desk: Desk) -> None:
    desk.buy(ANN, 1, 90, tif="1")
    assert desk.engine.next_expiry_ns is None
    day = desk.buy(ANN, 1, 91)
    gtd = desk.buy(ANN, 1, 92, tif="6", expire_time=START_NS + HOUR_NS)
    assert desk.engine.next_expiry_ns == START_NS + HOUR_NS
    desk.send(("XE", 0, START_NS + HOUR_NS - 1, 0))
    assert desk.told == {}
    desk.send(("XE", 0, START_NS + HOUR_NS, 0))
    report = desk.only(ANN)
    assert (report.exec_type, report.ord_status, report.cl_ord_id, report.leaves_qty) == (
        EXPIRED, OrdStatus.EXPIRED, gtd, 0,
    )  # fmt: skip
    midnight_ns = (START_NS // (24 * HOUR_NS) + 1) * 24 * HOUR_NS
    assert desk.engine.next_expiry_ns == midnight_ns
    desk.send(("XE", 0, midnight_ns, 0))
    assert desk.only(ANN).cl_ord_id == day
    assert desk.engine.next_expiry_ns is None
    assert desk.depth("1") == [(90, 1, 1)]


def test_the_day_ends_when_configured() -> None:
    desk = Desk(day_end_ns=17 * HOUR_NS)
    desk.buy(ANN, 1, 90)
    due_ns = desk.engine.next_expiry_ns
    assert due_ns is not None
    assert due_ns % (24 * HOUR_NS) == 17 * HOUR_NS
    assert 0 < due_ns - desk.now_ns <= 24 * HOUR_NS


@pytest.mark.parametrize("code", [c for c in Code if 0 < c < Code.UNKNOWN_ORDER])
def test_what_risk_refuses_is_told_and_never_executed(desk: Desk, code: Code) -> None:
    """Fault 3 of the ancestor: it was acknowledged, and no reject ever followed."""
    order = ("D", ANN, 0, 7, "AAPL", "1", 5, "2", 100, "0", 0, "", 0, 0, 0, 0, 1)
    desk.send(order, (0, int(code), 11, 22))
    report = desk.only(ANN)
    assert (report.exec_type, report.ord_status) == (ExecType.REJECTED, OrdStatus.REJECTED)
    assert (report.cl_ord_id, report.order_id, report.leaves_qty) == (7, 0, 0)
    assert (report.reject_code, report.limit, report.value) == (code, 11, 22)
    assert report.ord_rej_reason == CATALOGUE[code].ord_rej_reason
    assert desk.depth("1") == []
    assert desk.engine.participants[ANN].mark == 7


def test_an_unlisted_symbol_is_refused(desk: Desk) -> None:
    desk.buy(ANN, 1, 100, symbol="NONE")
    assert desk.only(ANN).reject_code == Code.UNKNOWN_SYMBOL


def test_order_ids_are_of_the_exchange() -> None:
    """Fault 17 of the ancestor: ids of two clients collided."""
    first, second = Desk(shard=0), Desk(shard=3)
    seen = set()
    for desk in (first, second):
        for account in (ANN, BOB):
            desk.send(("D", account, 0, 1, "AAPL", "1", 5, "2", 9, "0", 0, "", 0, 0, 0, 0, 1))
            seen.add(desk.only(account).order_id)
    assert len(seen) == 4
    assert {order_id >> 48 for order_id in seen} == {0, 3}
