"""The engine's rules by name, one by one; whole histories are in tests/property/test_engine.py."""

from typing import Any

import pytest
from rtes.common.records import decode_reports
from rtes.common.refusals import Code

from tests.exchange import ALICE, BOB, DAY_END_NS, DAY_NS, MIDNIGHT_NS, OPS, Exchange, told

NEWEST, OLDEST, BOTH, DECREMENT = 1, 2, 3, 4


@pytest.fixture
def x() -> Exchange:
    return Exchange()


# ---------------------------------------------------------------- price and time


def test_a_limit_order_rests_and_says_so(x: Exchange) -> None:
    assert x.buy(ALICE, 10, 100) == [("0", 1, 10, 0)]
    assert x.engine.books["AAPL"].depth("1", 5) == [(100, 10, 1)]


def test_better_price_first_then_earlier_order(x: Exchange) -> None:
    x.sell(ALICE, 1, 102)
    x.sell(ALICE, 2, 101)
    x.sell(ALICE, 3, 101)
    assert x.buy(BOB, 4, 102)[1:] == [("F", 1, 2, 2, 2, 101), ("F", 1, 0, 4, 2, 101)]
    assert x.queue("2") == [(ALICE, 3, 1, 1), (ALICE, 1, 1, 1)]


def test_a_trade_prints_at_the_resting_price_on_both_sides(x: Exchange) -> None:
    x.sell(ALICE, 5, 100)
    mine = x.new(BOB, "1", 5, 105)[-1]
    theirs = decode_reports(x.chunks[1][4])[0]
    assert (mine[16], theirs[16]) == (100, 100)
    assert mine[17] == theirs[17] == 1  # trd_match_id
    assert (mine[18], theirs[18]) == (2, 1)  # removed, added
    assert mine[7] != theirs[7]


def test_what_does_not_cross_does_not_trade(x: Exchange) -> None:
    x.sell(ALICE, 5, 101)
    assert x.buy(BOB, 5, 100) == [("0", 1, 5, 0)]


def test_books_are_apart(x: Exchange) -> None:
    x.sell(ALICE, 5, 100)
    assert x.buy(BOB, 5, 100, symbol="MSFT") == [("0", 1, 5, 0)]


# ---------------------------------------------------------------- order types, times in force


def test_a_market_order_never_rests(x: Exchange) -> None:
    """Ancestor fault 4: it rested at price 0 and later traded at 0.00."""
    report = x.new(ALICE, "1", 5, kind="1")[-1]
    assert told(report) == ("4", 1, 0, 0)
    assert report[22:25] == (Code.NO_LIQUIDITY, 0, 5)
    assert x.sell(BOB, 5, 1) == [("0", 1, 5, 0)]


def test_a_market_order_takes_what_there_is(x: Exchange) -> None:
    x.sell(ALICE, 3, 100)
    assert x.buy(BOB, 5, kind="1")[1:] == [("F", 1, 2, 3, 3, 100), ("4", 1, 0, 3)]
    assert x.queue("1") == []


def test_market_to_limit_rests_at_its_last_trade(x: Exchange) -> None:
    x.sell(ALICE, 1, 100)
    x.sell(ALICE, 1, 101)
    reports = x.new(BOB, "1", 5, kind="K")
    assert told(reports[-1]) == ("D", 1, 3, 2)
    assert reports[-1][14] == 101
    assert x.engine.books["AAPL"].depth("1", 1) == [(101, 3, 1)]


def test_market_to_limit_without_a_trade_ends(x: Exchange) -> None:
    assert x.buy(BOB, 5, kind="K")[-1] == ("4", 1, 0, 0)


def test_ioc_cancels_the_rest(x: Exchange) -> None:
    x.sell(ALICE, 3, 100)
    assert x.buy(BOB, 5, 100, tif="3")[-1] == ("4", 1, 0, 3)


def test_fok_trades_all_or_nothing(x: Exchange) -> None:
    x.sell(ALICE, 3, 100)
    x.sell(ALICE, 5, 101, display=1)
    assert x.buy(BOB, 9, 101, tif="4") == [("0", 1, 9, 0), ("4", 1, 0, 0)]
    assert x.queue("2") == [(ALICE, 1, 3, 3), (ALICE, 2, 5, 1)]
    assert x.buy(BOB, 8, 101, tif="4")[-1] == ("F", 2, 0, 8, 1, 101)
    assert x.queue("2") == []


def test_min_qty_on_entry_only(x: Exchange) -> None:
    x.sell(ALICE, 3, 100)
    refused = x.new(BOB, "1", 9, 100, min_qty=4)[-1]
    assert refused[22:25] == (Code.NO_LIQUIDITY, 3, 4)
    assert x.buy(BOB, 9, 100, min_qty=3)[-1] == ("F", 2, 6, 3, 3, 100)
    assert x.sell(ALICE, 1, 100)[-1] == ("F", 2, 0, 1, 1, 100)  # what rests takes any quantity
    assert x.replace(BOB, 2, 5, 99) == [("5", 3, 1, 4)]  # and goes where nothing trades


def test_post_only_is_refused_when_it_would_trade(x: Exchange) -> None:
    x.sell(ALICE, 3, 100)
    refused = x.new(BOB, "1", 1, 100, post_only=True)
    assert [told(r) for r in refused] == [("8", 1, 0, 0)]
    assert refused[0][22:25] == (Code.POST_ONLY_WOULD_TRADE, 100, 100)
    assert x.buy(BOB, 1, 99, post_only=True) == [("0", 2, 1, 0)]
    assert x.replace(BOB, 2, 1, 100) == [("9", 3, Code.POST_ONLY_WOULD_TRADE)]
    assert x.queue("1") == [(BOB, 2, 1, 1)]


def test_an_iceberg_shows_a_slice_at_a_time_at_the_tail(x: Exchange) -> None:
    x.sell(ALICE, 9, 100, display=2)
    x.sell(BOB, 1, 100)
    assert x.engine.books["AAPL"].depth("2", 1) == [(100, 3, 2)]
    x.buy(OPS, 2, 100)
    assert x.queue("2") == [(BOB, 1, 1, 1), (ALICE, 1, 7, 2)]
    x.buy(OPS, 7, 100)
    assert x.queue("2") == [(ALICE, 1, 1, 1)]


def test_an_iceberg_that_traded_on_entry_shows_no_more_than_is_left(x: Exchange) -> None:
    x.buy(BOB, 3, 100)
    x.sell(ALICE, 5, 100, display=3)
    assert x.queue("2") == [(ALICE, 1, 2, 2)]


# ---------------------------------------------------------------- stops


def trade_at(x: Exchange, price: int) -> None:
    x.sell(OPS, 1, price)
    x.buy(OPS, 1, price, tif="3")


def test_a_stop_waits_for_the_last_trade(x: Exchange) -> None:
    x.sell(BOB, 5, 110)
    assert x.buy(ALICE, 2, kind="3", stop=105) == [("0", 1, 2, 0)]
    trade_at(x, 104)
    assert x.queue("2") == [(BOB, 1, 5, 5)]
    trade_at(x, 105)
    assert x.queue("2") == [(BOB, 1, 3, 3)]


def test_a_stop_that_is_reached_triggers_on_entry(x: Exchange) -> None:
    trade_at(x, 100)
    assert [r[0] for r in x.buy(ALICE, 2, 101, kind="4", stop=100)] == ["0", "L"]
    assert x.queue("1") == [(ALICE, 1, 2, 2)]


def test_a_stop_without_any_trade_yet_waits(x: Exchange) -> None:
    assert x.sell(ALICE, 1, kind="3", stop=1_000) == [("0", 1, 1, 0)]


def test_stops_trigger_buys_first_then_nearest_then_oldest(x: Exchange) -> None:
    x.sell(BOB, 1, 110, kind="4", stop=105)
    for account, stop in ((ALICE, 97), (BOB, 95), (OPS, 95)):
        x.buy(account, 1, 90, kind="4", stop=stop)
    trade_at(x, 100)
    assert [account for account, *_ in x.queue("1")] == [BOB, OPS, ALICE]
    reports = [r for c in x.chunks for r in decode_reports(c[4]) if r[3] == "L"]
    reports.sort(key=lambda r: r[7])
    assert [(r[9], r[5]) for r in reports] == [("1", 2), ("1", 1), ("1", 1), ("2", 1)]


def test_a_stop_can_trigger_the_next(x: Exchange) -> None:
    trade_at(x, 100)
    x.buy(ALICE, 1, kind="3", stop=101)
    x.buy(BOB, 1, kind="3", stop=102)
    x.sell(OPS, 1, 102)
    x.sell(OPS, 1, 103)
    trade_at(x, 101)
    assert x.queue("2") == []


def test_a_stop_replaced_within_reach_triggers(x: Exchange) -> None:
    trade_at(x, 100)
    x.buy(ALICE, 1, 101, kind="4", stop=105)
    assert x.replace(ALICE, 1, 2, 101, 100) == [("5", 2, 2, 0), ("L", 2, 2, 0)]


def test_a_canceled_stop_is_gone(x: Exchange) -> None:
    trade_at(x, 100)
    x.buy(ALICE, 1, kind="3", stop=101)
    x.cancel(ALICE, 1)
    x.sell(BOB, 1, 101)
    trade_at(x, 101)
    assert x.queue("2")[0][0] == OPS  # BOB's was first, so it traded, and nothing else did
    assert x.engine.books["AAPL"].buy_stops.waiting() == []


# ---------------------------------------------------------------- cancel and replace


def test_a_cancel_names_both_ids(x: Exchange) -> None:
    x.buy(ALICE, 5, 100)
    report = x.cancel(ALICE, 1)[0]
    assert told(report) == ("4", 2, 0, 0)
    assert report[19] == 1  # orig_cl_ord_id
    assert x.queue("1") == []


def test_the_same_price_and_not_more_keeps_its_place(x: Exchange) -> None:
    for account in (ALICE, BOB):
        x.buy(account, 5, 100)
    assert x.replace(ALICE, 1, 3, 100) == [("5", 2, 3, 0)]
    assert x.replace(ALICE, 2, 3, 100) == [("5", 3, 3, 0)]
    assert x.queue("1") == [(ALICE, 3, 3, 3), (BOB, 1, 5, 5)]


@pytest.mark.parametrize(("qty", "price"), [(6, 100), (5, 99)])
def test_any_other_replace_goes_to_the_tail(x: Exchange, qty: int, price: int) -> None:
    x.buy(ALICE, 5, 100)
    x.buy(BOB, 5, price)
    x.replace(ALICE, 1, qty, price)
    assert x.queue("1") == [(BOB, 1, 5, 5), (ALICE, 2, qty, qty)]


def test_a_replace_gives_the_total_quantity(x: Exchange) -> None:
    x.buy(ALICE, 5, 100)
    x.sell(BOB, 2, 100)
    assert x.replace(ALICE, 1, 2, 100) == [("9", 2, Code.QTY_BELOW_FILLED)]
    assert x.replace(ALICE, 1, 3, 100) == [("5", 3, 1, 2)]


def test_a_replace_may_trade(x: Exchange) -> None:
    x.buy(ALICE, 5, 100)
    x.sell(BOB, 2, 101)
    assert x.replace(ALICE, 1, 5, 101) == [("5", 2, 5, 0), ("F", 2, 3, 2, 2, 101)]


def test_a_smaller_iceberg_loses_hidden_quantity_first(x: Exchange) -> None:
    x.buy(ALICE, 9, 100, display=3)
    x.replace(ALICE, 1, 4, 100)
    assert x.queue("1") == [(ALICE, 2, 4, 3)]


def test_a_replace_cannot_change_the_type(x: Exchange) -> None:
    x.buy(ALICE, 5, 100)
    assert x.replace(ALICE, 1, 5, 100, 90) == [("9", 2, Code.SIDE_OR_TYPE_CHANGED)]
    assert x.replace(ALICE, 1, 5) == [("9", 3, Code.SIDE_OR_TYPE_CHANGED)]
    x.buy(ALICE, 5, kind="3", stop=105, min_qty=4)
    assert x.replace(ALICE, 4, 3, 0, 105) == [("9", 5, Code.SIDE_OR_TYPE_CHANGED)]


def test_nobody_cancels_or_replaces_another_ones_order(x: Exchange) -> None:
    """Ancestor fault 7."""
    x.buy(ALICE, 5, 100)
    for report in (*x.cancel(BOB, 1), *x.apply(("G", BOB, 0, 2, "AAPL", 1, 1, 1, 0))):
        assert (report[0], report[6]) == ("9", "8")
    x.apply(("q", BOB, 0, 3, "7", "", ""))
    assert x.queue("1") == [(ALICE, 1, 5, 5)]


def test_unknown_and_too_late_are_told_apart(x: Exchange) -> None:
    """Ancestor fault 3: an unknown cancel was acknowledged as accepted."""
    x.buy(ALICE, 5, 100)
    x.cancel(ALICE, 1)
    assert told(x.cancel(ALICE, 1)[0])[2] == Code.TOO_LATE
    assert told(x.cancel(ALICE, 77)[0])[2] == Code.UNKNOWN_ORDER
    assert told(x.apply(("F", ALICE, 0, 9, "MSFT", 1))[0])[2] == Code.TOO_LATE


def test_mass_cancel_by_symbol_and_side(x: Exchange) -> None:
    for symbol, side in (("AAPL", "1"), ("AAPL", "2"), ("MSFT", "1")):
        x.new(ALICE, side, 1, 100 if side == "1" else 101, symbol=symbol)
    x.buy(ALICE, 1, kind="3", stop=105)
    reports = x.apply(("q", ALICE, 0, 10, "1", "AAPL", "1"))
    assert [r[5] for r in reports] == [1, 4, 2]
    reports = x.apply(("q", ALICE, 0, 11, "7", "", ""))
    assert [r[20] for r in reports[:-1]] == [99, 99]
    assert reports[-1][3:6] == (11, "7", 2)
    assert x.engine.participants[ALICE].orders == {}


# ---------------------------------------------------------------- self-trade prevention


def meet(x: Exchange, instruction: int, resting: int, qty: int, ids: tuple[int, int]) -> Any:
    x.sell(ALICE, resting, 100, smp=(ids[0], NEWEST))
    x.sell(BOB, 5, 100)
    return x.buy(ALICE, qty, 100, smp=(ids[1], instruction))[1:]


def test_ids_that_differ_or_are_zero_trade(x: Exchange) -> None:
    assert meet(x, NEWEST, 1, 1, (7, 8))[0][0] == "F"
    assert meet(Exchange(), NEWEST, 1, 1, (0, 0))[0][0] == "F"


@pytest.mark.parametrize(
    ("instruction", "told_alice", "left"),
    [
        (NEWEST, [("4", 2, 0, 0)], [(ALICE, 1, 2, 2), (BOB, 1, 5, 5)]),
        (OLDEST, [("4", 1, 0, 0), ("F", 2, 0, 3, 3, 100)], [(BOB, 1, 2, 2)]),
        (BOTH, [("4", 1, 0, 0), ("4", 2, 0, 0)], [(BOB, 1, 5, 5)]),
        (
            DECREMENT,
            [("4", 1, 0, 0), ("D", 2, 1, 0), ("F", 2, 0, 1, 1, 100)],
            [(BOB, 1, 4, 4)],
        ),
    ],
)
def test_self_trade_prevention(
    x: Exchange, instruction: int, told_alice: list[Any], left: list[Any]
) -> None:
    assert meet(x, instruction, 2, 3, (7, 7)) == told_alice
    assert x.queue("2") == left


def test_decrement_leaves_the_larger_one_where_it_was(x: Exchange) -> None:
    assert meet(x, DECREMENT, 5, 3, (7, 7)) == [("D", 1, 2, 0), ("4", 2, 0, 0)]
    assert x.queue("2") == [(ALICE, 1, 2, 2), (BOB, 1, 5, 5)]


@pytest.mark.parametrize(
    ("instruction", "most"), [(NEWEST, 2), (OLDEST, 8), (BOTH, 2), (DECREMENT, 6)]
)
def test_min_qty_counts_what_prevention_lets_trade(instruction: int, most: int) -> None:
    for min_qty in range(1, 9):
        x = Exchange()
        x.sell(BOB, 3, 100, display=2)
        x.sell(ALICE, 2, 100, smp=(7, NEWEST))
        x.sell(BOB, 3, 100)
        x.sell(BOB, 9, 101)
        reports = x.buy(ALICE, 8, 101, min_qty=min_qty, smp=(7, instruction))
        traded = sum(r[4] for r in reports if r[0] == "F")
        assert traded == (most if min_qty <= most else 0)


def test_decrement_takes_hidden_quantity_first(x: Exchange) -> None:
    x.sell(ALICE, 9, 100, display=4, smp=(7, NEWEST))
    x.buy(BOB, 2, 100)
    x.buy(ALICE, 3, 100, smp=(7, DECREMENT))
    assert x.queue("2") == [(ALICE, 1, 4, 2)]
    assert x.engine.books["AAPL"].depth("2", 1) == [(100, 2, 1)]


# ---------------------------------------------------------------- time


def test_day_orders_end_with_the_trading_day(x: Exchange) -> None:
    x.buy(ALICE, 1, 100, tif="0")
    x.buy(ALICE, 1, 100, tif="1")
    x.buy(ALICE, 1, kind="3", stop=105, tif="0")
    due = MIDNIGHT_NS + DAY_END_NS
    assert x.engine.next_expiry_ns == due
    x.now_ns = due - 1
    x.apply(("XE", 0, due - 1, 0))
    assert x.chunks == []
    x.now_ns = due
    x.buy(ALICE, 1, 100, tif="0")  # of the next day
    x.apply(("XE", 0, due, 0))
    assert [told(r) for r in decode_reports(x.chunks[0][4])] == [("C", 1, 0, 0), ("C", 3, 0, 0)]
    assert x.queue("1") == [(ALICE, 2, 1, 1), (ALICE, 4, 1, 1)]
    assert x.engine.next_expiry_ns == due + DAY_NS


def test_gtd_orders_end_at_their_time(x: Exchange) -> None:
    x.buy(ALICE, 1, 100, tif="6", expires=MIDNIGHT_NS + 20)
    x.buy(ALICE, 1, 100, tif="6", expires=MIDNIGHT_NS + 10)
    assert x.engine.next_expiry_ns == MIDNIGHT_NS + 10
    x.apply(("XE", 0, MIDNIGHT_NS + 10, 0))
    assert x.queue("1") == [(ALICE, 1, 1, 1)]
