"""Orders and positions as reports make them, and the messages of the friendly calls."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtes.client.errors import Rejected, RtesError
from rtes.client.orders import DONE_KEPT, FILLS_KEPT, Account, Position
from rtes.client.requests import (
    cancel_request,
    new_order,
    raise_if_refused,
    replace_request,
    total_canceled,
)
from rtes.common import messages as m
from rtes.common.enums import ExecType, MassCancelType, OrdStatus, OrdType, Side
from rtes.common.refusals import Code

fills = st.lists(
    st.tuples(st.sampled_from(Side), st.integers(1, 1_000), st.integers(1, 100_000)), max_size=40
)


def report(cl_ord_id: int, exec_type: ExecType, status: OrdStatus, **changes: object) -> object:
    fields: dict[str, object] = {
        "appl_id": 0, "appl_seq_num": 1, "exec_type": exec_type, "ord_status": status,
        "cl_ord_id": cl_ord_id, "order_id": 9, "exec_id": 1, "symbol": "AAPL", "side": "1",
        "leaves_qty": 10, "cum_qty": 0, "transact_time": 0, "order_qty": 10, "price": 100,
    }  # fmt: skip
    return m.ExecutionReport(**(fields | changes))  # type: ignore[arg-type]


def apply(account: Account, *reports: object) -> None:
    for each in reports:
        assert isinstance(each, m.ExecutionReport)
        account.apply(each)


# ---------------------------------------------------------------- positions


def exact(trades: list[tuple[Side, int, int]]) -> tuple[int, Fraction, Fraction]:
    """Quantity, average price and realized profit, lot by lot in exact arithmetic."""
    qty, average, realized = 0, Fraction(0), Fraction(0)
    for side, lots, price in trades:
        step = 1 if side is Side.BUY else -1
        for _ in range(lots):
            if qty * step >= 0:
                average = (average * abs(qty) + price) / (abs(qty) + 1)
            else:
                realized += (price - average) * -step
            qty += step
    return qty, average if qty else Fraction(0), realized


@given(
    st.lists(
        st.tuples(st.sampled_from(Side), st.integers(1, 12), st.integers(1, 50)), max_size=12
    )
)
def test_a_position_is_what_its_lots_add_up_to(trades: list[tuple[Side, int, int]]) -> None:
    position = Position("AAPL")
    for side, qty, price in trades:
        position.trade(side, qty, price)
    qty, average, realized = exact(trades)
    assert position.qty == qty
    assert position.avg_px == pytest.approx(float(average))
    assert position.realized == pytest.approx(float(realized), abs=1e-6)


@given(fills, st.integers(1, 100_000))
def test_profit_is_cash_plus_what_the_position_is_worth(
    trades: list[tuple[Side, int, int]], mark: int
) -> None:
    position = Position("AAPL")
    cash = 0
    for side, qty, price in trades:
        position.trade(side, qty, price)
        cash += -qty * price if side is Side.BUY else qty * price
    profit = position.realized + position.qty * (mark - position.avg_px)
    assert profit == pytest.approx(cash + position.qty * mark, abs=1e-2)


def test_turning_round_opens_the_rest_at_the_new_price() -> None:
    position = Position("AAPL")
    position.trade(Side.BUY, 10, 100)
    position.trade(Side.SELL, 15, 110)
    assert (position.qty, position.avg_px, position.realized) == (-5, 110.0, 100.0)


# ---------------------------------------------------------------- orders


def test_an_order_averages_its_fills() -> None:
    account = Account()
    apply(
        account,
        report(1, ExecType.NEW, OrdStatus.NEW),
        report(1, ExecType.TRADE, OrdStatus.PARTIALLY_FILLED, last_qty=1, last_px=100, cum_qty=1),
        report(1, ExecType.TRADE, OrdStatus.PARTIALLY_FILLED, last_qty=3, last_px=104, cum_qty=4),
    )
    order = account.orders[1]
    assert order.avg_px == 103.0
    assert [(f.qty, f.price) for f in order.fills] == [(1, 100), (3, 104)]


def test_a_replaced_order_is_the_same_order_under_its_new_id() -> None:
    account = Account()
    apply(account, report(1, ExecType.NEW, OrdStatus.NEW))
    order = account.orders[1]
    changed = report(2, ExecType.REPLACED, OrdStatus.NEW, orig_cl_ord_id=1, order_qty=7, price=99)
    apply(account, changed)
    assert account.orders == {2: order}
    assert (order.cl_ord_id, order.order_qty, order.price) == (2, 7, 99)


def test_a_cancel_ends_the_order_it_names() -> None:
    account = Account()
    apply(account, report(1, ExecType.NEW, OrdStatus.NEW))
    canceled = report(2, ExecType.CANCELED, OrdStatus.CANCELED, orig_cl_ord_id=1, leaves_qty=0)
    apply(account, canceled)
    assert list(account.orders) == [1]
    assert account.orders[1].done
    assert account.open_orders == []


def test_an_order_of_another_process_is_taken_on() -> None:
    account = Account()
    resting = report(5, ExecType.ORDER_STATUS, OrdStatus.NEW, stop_px=120)
    apply(account, resting)
    assert account.open_orders == [account.orders[5]]
    assert account.orders[5].stop_px == 120


def test_memory_is_bounded() -> None:
    account = Account()
    for i in range(DONE_KEPT + 10):
        apply(account, report(i + 1, ExecType.REJECTED, OrdStatus.REJECTED))
    assert len(account.orders) == DONE_KEPT
    for _ in range(FILLS_KEPT + 10):
        partly = OrdStatus.PARTIALLY_FILLED
        apply(account, report(1, ExecType.TRADE, partly, last_qty=1, last_px=1))
    assert len(account.orders[1].fills) == FILLS_KEPT


def test_a_refused_order_says_why() -> None:
    account = Account()
    refusal = {"reject_code": Code.PRICE_BAND, "limit": 110, "value": 200}
    apply(account, report(1, ExecType.REJECTED, OrdStatus.REJECTED, **refusal))
    with pytest.raises(Rejected, match="price 200 is beyond the band edge 110") as refused:
        account.orders[1].check()
    assert refused.value.code is Code.PRICE_BAND


# ---------------------------------------------------------------- requests


@pytest.mark.parametrize(
    ("price", "stop_px", "kind"),
    [
        (None, 0, OrdType.MARKET),
        (100, 0, OrdType.LIMIT),
        (None, 90, OrdType.STOP),
        (100, 90, OrdType.STOP_LIMIT),
    ],
)
def test_the_type_follows_from_the_prices(price: int | None, stop_px: int, kind: OrdType) -> None:
    assert new_order(1, "AAPL", Side.BUY, 1, price, stop_px=stop_px).ord_type is kind


def test_a_replace_keeps_what_it_does_not_name() -> None:
    account = Account()
    apply(account, report(1, ExecType.ORDER_STATUS, OrdStatus.NEW, stop_px=120))
    request = replace_request(2, account.orders[1], 7, None, None)
    assert (request.order_qty, request.price, request.stop_px) == (7, 100, 120)


def test_a_cancel_by_id_needs_a_symbol_where_the_order_is_unknown() -> None:
    assert cancel_request(2, {}, 1, "AAPL").symbol == "AAPL"
    with pytest.raises(RtesError, match="say its symbol"):
        cancel_request(2, {}, 1, "")


def test_only_a_refusal_of_the_request_itself_is_raised() -> None:
    request = m.OrderCancelRequest(5, "AAPL", 1)
    raise_if_refused(request, [m.BusinessMessageReject("F", 4, Code.BUSY)])
    raise_if_refused(request, [m.BusinessMessageReject("AN", 0, Code.NOT_AUTHORIZED)])
    raise_if_refused(request, [m.Reject(Code.INVALID_VALUE, "D", "price")])
    with pytest.raises(Rejected, match="retry with a new"):
        raise_if_refused(request, [m.BusinessMessageReject("F", 5, Code.BUSY, 1_000, 1_000)])
    with pytest.raises(Rejected, match="symbol: too long"):
        raise_if_refused(request, [m.Reject(61, "F", "symbol", text="symbol: too long")])


def test_a_mass_cancel_counts_over_all_shards() -> None:
    reports = [m.OrderMassCancelReport(i, 1, 1, MassCancelType.ALL, 3, 0) for i in range(2)]
    assert total_canceled(reports) == 6
