"""Trading end to end: every order type, through gateway, risk and matcher, as a participant sees
it. Each test uses accounts of its own and leaves the book empty."""

import time
from collections.abc import Iterator

import pytest
from rtes.client import Client, Rejected
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.enums import ExecType, OrdStatus, OrdType, PartyAction, SmpInstruction, TimeInForce
from rtes.common.refusals import Code

from tests.meshes import connect, own_positions, until, wait_for

pytestmark = pytest.mark.mesh
PX = 58_574  # AAPL's reference price


@pytest.fixture(scope="module")
def pair(mesh: Mesh) -> Iterator[tuple[Client, Client]]:
    with connect(mesh, "DEMO1") as one, connect(mesh, "DEMO2") as other:
        yield one, other


@pytest.fixture
def maker(pair: tuple[Client, Client]) -> Client:
    pair[0].cancel_all()
    pair[1].cancel_all()
    return pair[0]


@pytest.fixture
def taker(pair: tuple[Client, Client]) -> Client:
    return pair[1]


def told(client: Client, count: int, exec_type: ExecType) -> list[m.ExecutionReport]:
    """Poll until so many reports of that kind came."""
    found: list[m.ExecutionReport] = []

    def more() -> bool:
        reports = [r for r in client.poll(0.05) if isinstance(r, m.ExecutionReport)]
        found.extend(r for r in reports if r.exec_type is exec_type)
        return len(found) >= count

    wait_for(more)
    assert len(found) == count
    return found


def test_best_price_then_time(maker: Client, taker: Client) -> None:
    """Three sells at two prices: the better price trades first, then the older order."""
    first = maker.sell("AAPL", 5, PX + 1)
    second = maker.sell("AAPL", 5, PX + 1)
    best = maker.sell("AAPL", 5, PX)
    order = taker.buy("AAPL", 12, PX + 1, tif=TimeInForce.IOC)
    assert (order.status, order.cum) == (OrdStatus.FILLED, 12)
    assert order.avg_px == pytest.approx((5 * PX + 7 * (PX + 1)) / 12)
    until(maker, lambda: second.cum == 2)
    assert (best.cum, first.cum, second.cum) == (5, 5, 2)


def test_a_smaller_quantity_keeps_its_place(maker: Client, taker: Client) -> None:
    reduced = maker.sell("AAPL", 10, PX)
    grown = maker.sell("AAPL", 1, PX)
    behind = maker.sell("AAPL", 5, PX)
    maker.replace(reduced, qty=4)
    maker.replace(grown, qty=5)  # more quantity: to the end of the queue
    taker.buy("AAPL", 9, PX)
    trades = told(maker, 2, ExecType.TRADE)
    assert [(t.order_id, t.last_qty) for t in trades] == [
        (reduced.order_id, 4), (behind.order_id, 5),
    ]  # fmt: skip


def test_an_iceberg_shows_slices(maker: Client, taker: Client) -> None:
    iceberg = maker.sell("AAPL", 10, PX, display_qty=4)
    other = maker.sell("AAPL", 4, PX)
    taker.buy("AAPL", 10, PX)
    trades = told(maker, 3, ExecType.TRADE)
    assert [(t.order_id, t.last_qty) for t in trades] == [
        (iceberg.order_id, 4), (other.order_id, 4), (iceberg.order_id, 2),
    ]  # fmt: skip


def test_fill_or_kill_takes_all_or_nothing(maker: Client, taker: Client) -> None:
    maker.sell("AAPL", 5, PX)
    killed = taker.buy("AAPL", 6, PX, tif=TimeInForce.FOK)
    assert (killed.status, killed.cum) == (OrdStatus.CANCELED, 0)
    assert (killed.reject_code, killed.limit, killed.value) == (Code.NO_LIQUIDITY, 5, 6)
    filled = taker.buy("AAPL", 5, PX, tif=TimeInForce.FOK)
    assert filled.status is OrdStatus.FILLED


def test_a_stop_waits_for_its_trade(maker: Client, taker: Client) -> None:
    maker.sell("AAPL", 5, PX)
    maker.sell("AAPL", 5, PX + 10)
    stop = taker.buy("AAPL", 5, stop_px=PX + 10)
    assert stop.leaves == 5
    taker.buy("AAPL", 5, PX)
    assert stop.cum == 0
    maker.sell("AAPL", 5, PX + 20)
    taker.buy("AAPL", 5, PX + 10)  # trades at the trigger price
    until(taker, lambda: stop.cum == 5)
    assert stop.status is OrdStatus.FILLED
    assert stop.avg_px == PX + 20


def test_market_to_limit_rests_at_its_price(maker: Client, taker: Client) -> None:
    maker.sell("AAPL", 5, PX)
    order = taker.buy("AAPL", 8, ord_type=OrdType.MARKET_TO_LIMIT)
    until(taker, lambda: order.price == PX)
    assert (order.cum, order.leaves) == (5, 3)


def test_good_till_date_expires(maker: Client) -> None:
    order = maker.buy("AAPL", 5, PX, tif=TimeInForce.GTD, expire_time=time.time_ns() + 300_000_000)
    assert order.status is OrdStatus.NEW
    until(maker, lambda: order.status is OrdStatus.EXPIRED)


def test_own_orders_do_not_meet(maker: Client) -> None:
    resting = maker.sell("AAPL", 5, PX, smp_id=7)
    newest = maker.buy("AAPL", 5, PX, smp_id=7)
    assert newest.status is OrdStatus.CANCELED
    oldest = SmpInstruction.CANCEL_OLDEST
    stays = maker.buy("AAPL", 5, PX, smp_id=7, smp_instruction=oldest)
    until(maker, lambda: resting.status is OrdStatus.CANCELED)
    assert (stays.status, stays.cum) == (OrdStatus.NEW, 0)


def test_least_quantity_on_entry(maker: Client, taker: Client) -> None:
    maker.sell("AAPL", 5, PX)
    order = taker.buy("AAPL", 10, PX, min_qty=6)
    assert (order.status, order.cum) == (OrdStatus.CANCELED, 0)
    order = taker.buy("AAPL", 10, PX, min_qty=5)
    until(taker, lambda: order.cum == 5)
    assert order.leaves == 5


def test_mass_cancel_counts(maker: Client) -> None:
    maker.buy("AAPL", 1, PX - 1)
    maker.sell("AAPL", 1, PX + 1)
    maker.buy("MSFT", 1, 3_000)
    assert maker.cancel_all("AAPL", side="1") == 1
    assert maker.cancel_all("AAPL") == 1
    assert maker.cancel_all() == 1
    assert maker.open_orders == []


def test_status_of_one_and_of_all(maker: Client) -> None:
    one = maker.buy("AAPL", 3, PX - 1, display_qty=1)
    maker.sell("MSFT", 1, 3_100)
    reports = maker.ask(m.OrderMassStatusRequest(maker.next_id()))
    assert [getattr(r, "symbol", "") for r in reports] == ["AAPL", "MSFT", ""]
    assert getattr(reports[-1], "tot_num_reports", 0) == 2
    (status,) = maker.ask(m.OrderStatusRequest(maker.next_id(), "AAPL", one.cl_ord_id))
    assert isinstance(status, m.ExecutionReport)
    assert (status.order_id, status.leaves_qty, status.display_qty) == (one.order_id, 3, 1)


def test_usage_follows_orders_and_fills(mesh: Mesh, maker: Client) -> None:
    with connect(mesh, "DEMO3") as client:
        client.buy("AAPL", 5, PX)
        maker.sell("AAPL", 2, PX)
        until(client, lambda: own_positions(client) == {"AAPL": 2})
        row = next(r for r in client.account_usage() if r.symbol == "AAPL")
        assert (row.net_qty, row.open_buy_qty, row.open_orders) == (2, 3, 1)
        client.cancel_all()
        total = client.account_usage()[-1]
        assert (total.symbol, total.open_orders, total.open_buy_qty) == ("", 0, 0)


def test_the_kill_switch_cancels_and_stops(mesh: Mesh) -> None:
    with connect(mesh, "OPS") as ops, connect(mesh, "DEMO4") as client:
        order = client.buy("AAPL", 5, PX - 5)
        halt = m.PartyActionRequest(ops.next_id(), PartyAction.HALT_TRADING, "DEMO4")
        (report,) = ops.ask(halt)
        assert getattr(report, "total_affected_orders", 0) == 1
        until(client, lambda: order.status is OrdStatus.CANCELED)
        with pytest.raises(Rejected) as refused:
            client.buy("AAPL", 5, PX - 5)
        assert refused.value.code is Code.ACCOUNT_SUSPENDED
        ops.ask(m.PartyActionRequest(ops.next_id(), PartyAction.REINSTATE, "DEMO4"))
        wait_for(lambda: accepted(client))
        client.cancel_all()


def accepted(client: Client) -> bool:
    try:
        client.buy("AAPL", 5, PX - 5)
    except Rejected:
        return False
    return True
