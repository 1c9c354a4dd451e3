"""What changes an order: replaces, triggers, self-trade prevention, cancels."""

import pytest
from rtes.common.enums import CxlRejResponseTo, ExecType, OrdStatus, Restatement, SmpInstruction
from rtes.common.messages import OrderCancelReject
from rtes.common.refusals import Code

from tests.unit.enginedesk import ANN, BOB, CAT, Desk

NEW, TRADE, CANCELED = ExecType.NEW, ExecType.TRADE, ExecType.CANCELED
REPLACED, RESTATED, TRIGGERED = ExecType.REPLACED, ExecType.RESTATED, ExecType.TRIGGERED


@pytest.fixture
def desk() -> Desk:
    return Desk()


def refusal(desk: Desk, account: int) -> tuple[int, int, int]:
    report = desk.only(account)
    assert isinstance(report, OrderCancelReject)
    return report.reject_code, report.limit, report.value


# ---------------------------------------------------------------- cancel


def test_a_cancel_ends_the_order_under_the_requests_id(desk: Desk) -> None:
    order = desk.buy(ANN, 5, 99)
    request = desk.cancel(ANN, order)
    report = desk.only(ANN)
    assert (report.exec_type, report.ord_status, report.leaves_qty) == (
        CANCELED, OrdStatus.CANCELED, 0,
    )  # fmt: skip
    assert (report.cl_ord_id, report.orig_cl_ord_id) == (request, order)
    assert report.exec_restatement_reason == Restatement.NONE
    assert desk.depth("1") == []


def test_nobody_cancels_or_replaces_what_is_not_theirs(desk: Desk) -> None:
    """Fault 7 of the ancestor: anyone could cancel anyone's order."""
    order = desk.buy(ANN, 5, 99)
    desk.cancel(BOB, order)
    assert refusal(desk, BOB)[0] == Code.TOO_LATE
    assert ANN not in desk.told
    desk.replace(BOB, order, 9, 99)
    assert refusal(desk, BOB)[0] == Code.TOO_LATE
    assert desk.depth("1") == [(99, 5, 1)]


def test_unknown_and_too_late(desk: Desk) -> None:
    order = desk.buy(ANN, 5, 99)
    desk.cancel(ANN, 999)
    report = desk.only(ANN)
    assert (report.ord_status, report.order_id, report.cxl_rej_reason) == (
        OrdStatus.REJECTED, 0, 1,
    )  # fmt: skip
    assert report.cxl_rej_response_to is CxlRejResponseTo.CANCEL
    assert refusal(desk, ANN)[0] == Code.UNKNOWN_ORDER
    desk.cancel(ANN, order, symbol="MSFT")
    assert refusal(desk, ANN)[0] == Code.UNKNOWN_ORDER
    desk.cancel(ANN, order)
    desk.cancel(ANN, order)
    assert refusal(desk, ANN)[0] == Code.TOO_LATE
    assert desk.only(ANN).cxl_rej_reason == 0


# ---------------------------------------------------------------- replace


def test_smaller_at_the_same_price_keeps_its_place(desk: Desk) -> None:
    order = desk.sell(ANN, 5, 101)
    desk.sell(BOB, 5, 101)
    new_id = desk.replace(ANN, order, 3, 101)
    report = desk.only(ANN)
    assert (report.exec_type, report.cl_ord_id, report.orig_cl_ord_id) == (REPLACED, new_id, order)
    assert (report.order_qty, report.leaves_qty) == (3, 3)
    desk.buy(CAT, 1, 101)
    assert desk.trades(ANN) == [(1, 101)]


@pytest.mark.parametrize(("qty", "price"), [(6, 101), (5, 100), (3, 102)])
def test_anything_else_goes_to_the_tail(desk: Desk, qty: int, price: int) -> None:
    order = desk.sell(ANN, 5, 101)
    desk.sell(BOB, 5, price)
    desk.replace(ANN, order, qty, price)
    desk.buy(CAT, 1, price)
    assert desk.trades(BOB) == [(1, price)]


def test_a_replace_may_trade_and_its_quantity_is_the_total(desk: Desk) -> None:
    order = desk.buy(ANN, 10, 99)
    desk.sell(BOB, 4, 99)
    desk.sell(BOB, 3, 101)
    desk.replace(ANN, order, 8, 101)
    assert desk.types(ANN) == [REPLACED, TRADE]
    assert (desk.told[ANN][0].leaves_qty, desk.told[ANN][0].cum_qty) == (4, 4)
    assert desk.told[ANN][0].ord_status is OrdStatus.PARTIALLY_FILLED
    assert (desk.last(ANN).leaves_qty, desk.last(ANN).cum_qty) == (1, 7)
    assert desk.depth("1") == [(101, 1, 1)]


def test_refused_replaces_leave_the_order_as_it_was(desk: Desk) -> None:
    desk.sell(BOB, 1, 105)
    order = desk.buy(ANN, 10, 99, exec_inst="6", display_qty=3)
    desk.sell(BOB, 4, 99)
    for qty, price, stop_px, expected in (
        (4, 99, 0, (Code.QTY_BELOW_FILLED, 4, 4)),
        (10, 0, 0, (Code.SIDE_OR_TYPE_CHANGED, 0, 44)),
        (10, 99, 90, (Code.SIDE_OR_TYPE_CHANGED, 0, 99)),
        (10, 106, 0, (Code.POST_ONLY_WOULD_TRADE, 105, 106)),
    ):
        request = desk.replace(ANN, order, qty, price, stop_px)
        report = desk.only(ANN)
        assert refusal(desk, ANN) == expected
        assert (report.cl_ord_id, report.orig_cl_ord_id, report.order_id) == (request, order, 2)
        assert report.ord_status is OrdStatus.PARTIALLY_FILLED
        assert report.cxl_rej_response_to is CxlRejResponseTo.REPLACE
    assert desk.open(ANN) == [order]
    assert desk.depth("1") == [(99, 2, 1)]


def test_risk_refuses_a_replace(desk: Desk) -> None:
    order = desk.buy(ANN, 10, 99)
    desk.send(("G", ANN, 0, 50, "AAPL", order, 99, 99, 0), (0, int(Code.CREDIT), 7, 8))
    assert refusal(desk, ANN) == (Code.CREDIT, 7, 8)
    assert desk.only(ANN).ord_status is OrdStatus.NEW
    assert desk.depth("1") == [(99, 10, 1)]


# ---------------------------------------------------------------- stops


def test_a_stop_waits_unseen_until_the_last_trade_reaches_it(desk: Desk) -> None:
    desk.buy(ANN, 5, ord_type="3", stop_px=103)
    desk.sell(BOB, 5, 104)
    desk.trade(102)
    assert desk.depth("1") == []
    desk.trade(103)
    assert desk.types(ANN) == [TRIGGERED, TRADE]
    assert desk.trades(ANN) == [(5, 104)]


def test_a_stop_that_holds_on_entry_triggers_at_once(desk: Desk) -> None:
    desk.trade(100)
    desk.sell(ANN, 5, 98, ord_type="4", stop_px=100)
    assert desk.types(ANN) == [NEW, TRIGGERED]
    assert desk.depth("2") == [(98, 5, 1)]
    desk.buy(ANN, 5, ord_type="3", stop_px=99)
    assert desk.types(ANN) == [NEW, TRIGGERED, TRADE, TRADE]


def test_without_a_trade_no_stop_triggers(desk: Desk) -> None:
    desk.sell(ANN, 5, ord_type="3", stop_px=100)
    assert desk.types(ANN) == [NEW]


def test_stops_trigger_nearest_first_then_earliest_and_set_off_others(desk: Desk) -> None:
    far = desk.buy(ANN, 1, ord_type="3", stop_px=104)
    late = desk.buy(BOB, 1, ord_type="3", stop_px=102)
    later = desk.buy(ANN, 1, ord_type="3", stop_px=102)
    for price in (102, 103, 104):
        desk.sell(CAT, 1, price)
    desk.buy(CAT, 1, 102)
    triggered = sorted(
        (r.exec_id, r.cl_ord_id)
        for account in (ANN, BOB)
        for r in desk.told[account]
        if r.exec_type is TRIGGERED
    )
    assert [cl_ord_id for _, cl_ord_id in triggered] == [late, later, far]
    assert desk.last(ANN).reject_code == Code.NO_LIQUIDITY  # nothing was left for the last


def test_a_cascade_of_any_length_is_no_recursion(desk: Desk) -> None:
    for i in range(3_000):
        desk.sell(BOB, 1, 101 + i)
        desk.buy(ANN, 1, ord_type="3", stop_px=101 + i)
    desk.sell(CAT, 1, 100)
    desk.buy(CAT, 1, 101)
    desk.buy(CAT, 1, 101)
    assert len(desk.trades(ANN)) == 2_999
    assert desk.open(ANN) == []


def test_a_replaced_stop_moves_and_may_trigger(desk: Desk) -> None:
    desk.trade(100)
    desk.sell(BOB, 5, 101)
    order = desk.buy(ANN, 5, ord_type="3", stop_px=110)
    desk.replace(ANN, order, 4, stop_px=105)
    assert desk.types(ANN) == [REPLACED]
    desk.replace(ANN, desk.open(ANN)[0], 4, stop_px=100)
    assert desk.types(ANN) == [REPLACED, TRIGGERED, TRADE]
    assert desk.trades(ANN) == [(4, 101)]


def test_canceled_stops_are_gone(desk: Desk) -> None:
    for _ in range(100):
        desk.cancel(ANN, desk.buy(ANN, 5, ord_type="3", stop_px=105))
    desk.trade(105)
    assert ANN not in desk.told
    assert desk.engine.books["AAPL"].buy_stops.waiting() == []


# ---------------------------------------------------------------- self-trade prevention


def meet(desk: Desk, smp: SmpInstruction, qty: int) -> tuple[int, int]:
    """5 of BOB rest before 5 of CAT; ANN's order of BOB's group meets both."""
    resting = desk.sell(BOB, 5, 101, smp_id=9)
    desk.sell(CAT, 5, 101)
    return resting, desk.buy(ANN, qty, 101, smp_id=9, smp=int(smp))


def test_cancel_newest(desk: Desk) -> None:
    meet(desk, SmpInstruction.CANCEL_NEWEST, 7)
    assert desk.types(ANN) == [NEW, CANCELED]
    assert desk.last(ANN).exec_restatement_reason == Restatement.SMP_NEWEST
    assert desk.depth("2") == [(101, 10, 2)]


def test_cancel_oldest(desk: Desk) -> None:
    meet(desk, SmpInstruction.CANCEL_OLDEST, 7)
    assert desk.only(BOB).exec_restatement_reason == Restatement.SMP_OLDEST
    assert desk.trades(ANN) == [(5, 101)]
    assert (desk.depth("1"), desk.depth("2")) == ([(101, 2, 1)], [])


def test_cancel_both(desk: Desk) -> None:
    meet(desk, SmpInstruction.CANCEL_BOTH, 7)
    for account in (ANN, BOB):
        assert desk.last(account).exec_type is CANCELED
        assert desk.last(account).exec_restatement_reason == Restatement.SMP_BOTH
    assert (desk.depth("1"), desk.depth("2")) == ([], [(101, 5, 1)])


def test_decrement_cancels_the_smaller_and_restates_the_other(desk: Desk) -> None:
    meet(desk, SmpInstruction.DECREMENT, 7)
    assert desk.types(BOB) == [CANCELED]
    assert desk.types(ANN) == [NEW, RESTATED, TRADE]
    restated = desk.told[ANN][1]
    assert (restated.order_qty, restated.leaves_qty) == (2, 2)
    assert restated.exec_restatement_reason == Restatement.SMP_NEWEST
    meet(desk, SmpInstruction.DECREMENT, 2)
    assert desk.depth("2")[0] == (101, 3 + 3 + 5, 3)


def test_decrement_of_equals_cancels_both(desk: Desk) -> None:
    desk.sell(BOB, 5, 101, smp_id=9)
    desk.buy(ANN, 5, 101, smp_id=9, smp=int(SmpInstruction.DECREMENT))
    assert desk.types(BOB) == [CANCELED]
    assert desk.types(ANN) == [NEW, CANCELED]


@pytest.mark.parametrize("ids", [(0, 0), (9, 0), (0, 9), (9, 8)])
def test_other_groups_trade(desk: Desk, ids: tuple[int, int]) -> None:
    desk.sell(ANN, 5, 101, smp_id=ids[0])
    desk.buy(ANN, 5, 101, smp_id=ids[1])
    assert desk.trades(ANN) == [(5, 101), (5, 101)]


@pytest.mark.parametrize(
    ("smp", "available"),
    [
        (SmpInstruction.CANCEL_NEWEST, 3),
        (SmpInstruction.CANCEL_OLDEST, 8),
        (SmpInstruction.CANCEL_BOTH, 3),
        (SmpInstruction.DECREMENT, 8),
    ],
)
def test_what_prevention_keeps_from_trading_is_not_counted(
    desk: Desk, smp: SmpInstruction, available: int
) -> None:
    for min_qty in (available + 1, available):
        desk.sell(BOB, 3, 100)
        desk.sell(ANN, 2, 100, smp_id=9)
        desk.sell(BOB, 5, 100)
        desk.buy(ANN, 10, 100, min_qty=min_qty, smp_id=9, smp=int(smp))
        traded = sum(qty for qty, _ in desk.trades(ANN))
        assert traded == (available if min_qty == available else 0)
        for account in (ANN, BOB):
            desk.ask("q", account, "7", "", "")


def test_fok_is_not_helped_by_what_prevention_takes_off(desk: Desk) -> None:
    """A decrement of 3 leaves 7 to trade with 20: less than the 10 that were asked for."""
    desk.sell(BOB, 3, 100, smp_id=9)
    desk.sell(CAT, 20, 101)
    desk.buy(ANN, 10, 101, tif="4", smp_id=9, smp=int(SmpInstruction.DECREMENT))
    assert desk.types(ANN) == [NEW, CANCELED]
    assert (desk.last(ANN).limit, desk.last(ANN).value) == (7, 10)
    assert desk.depth("2") == [(100, 3, 1), (101, 20, 1)]


def test_the_level_where_a_decremented_order_ends_is_walked_slice_by_slice(desk: Desk) -> None:
    """2 of the iceberg trade, 6 are decremented, then 2 more of 10: hidden ones come last."""
    for min_qty in (5, 4):
        iceberg = desk.sell(CAT, 8, 100, display_qty=2)
        own = desk.sell(BOB, 6, 100, smp_id=9)
        desk.buy(ANN, 10, 100, min_qty=min_qty, smp_id=9, smp=int(SmpInstruction.DECREMENT))
        assert sum(qty for qty, _ in desk.trades(ANN)) == (4 if min_qty == 4 else 0)
        if min_qty == 5:
            assert (desk.last(ANN).limit, desk.last(ANN).value) == (4, 5)
            desk.cancel(CAT, iceberg)
            desk.cancel(BOB, own)
