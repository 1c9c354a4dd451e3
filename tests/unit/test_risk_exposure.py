"""What risk reserves and frees: ids, credit, replaces, and how it follows the feed."""

import pytest
from rtes.common.enums import ExecType, OrdType, PartyAction, Side
from rtes.common.refusals import CATALOGUE, Code, explain

from tests.unit.riskfloor import (
    LIMITS,
    ME,
    NOW_NS,
    OTHER,
    Floor,
    buy,
    empty,
    on_the_wire,
)


@pytest.fixture
def floor() -> Floor:
    return Floor()


# ---------------------------------------------------------------- duplicate ids


def test_an_id_seen_before_passes_unreserved(floor: Floor) -> None:
    """The matcher answers it with its first outcome, whatever the limits say now."""
    assert floor.new(100, cl_ord_id=5) is None
    before = floor.risk.usage(ME)
    assert floor.new(100, cl_ord_id=5) is None
    assert floor.new(10_000, 1, cl_ord_id=4) is None
    floor.switch(PartyAction.SUSPEND, ME, "", 0)
    assert floor.new(100, cl_ord_id=5) is None
    floor.switch(PartyAction.REINSTATE, ME, "", 0)
    assert floor.risk.usage(ME) == before


def test_a_refused_id_passes_the_second_time_unreserved(floor: Floor) -> None:
    assert floor.new(10_000, cl_ord_id=5) is not None
    assert floor.new(10_000, cl_ord_id=5) is None
    assert empty(floor)


def test_ids_count_per_matcher_shard(floor: Floor) -> None:
    """Lanes to two matchers may be out of step after a restart; each matcher has its mark."""
    assert floor.new(10, cl_ord_id=6) is None
    assert floor.new(10, symbol="FAR", cl_ord_id=5) is None
    assert floor.usage().open_orders == 2
    assert floor.new(10, symbol="FAR", cl_ord_id=6) is None
    floor.tell(ExecType.REJECTED, 6, 0, shard=1, symbol="FAR")
    assert floor.row("AAA") is not None
    assert floor.usage().open_orders == 2


def test_a_repeated_answer_frees_what_a_resent_id_reserved() -> None:
    """A risk that lost sight of an id reserves; the outcome told again shows it was used."""
    fresh = Floor()
    account = [ME, False, False, 0, -1, [[0, 0]], [], []]
    fresh.risk.restore({"markets": [], "accounts": [account]})
    assert fresh.new(10, cl_ord_id=5) is None
    assert fresh.usage().open_orders == 1
    fresh.tell_refused(5)
    assert empty(fresh)


# ---------------------------------------------------------------- credit


def test_credit_is_reserved_and_freed_not_used_up(floor: Floor) -> None:
    """Ancestor fault 6: orders placed and cancelled still counted."""
    assert floor.new(400) is None
    assert floor.usage().credit_used == 400_000
    assert floor.new(10, 5_000, symbol="BBB") == (Code.ORDER_SIZE, 20, 10)
    assert floor.new(50, 5_000, symbol="BBB") == (Code.CREDIT, 600_000, 650_000)
    floor.tell(ExecType.NEW, 1, 400)
    assert floor.usage().credit_used == 400_000
    floor.tell(ExecType.CANCELED, 1, 0)
    assert empty(floor)
    assert floor.new(50, 5_000, symbol="BBB") is None


def test_a_fill_turns_credit_into_position(floor: Floor) -> None:
    floor.new(400)
    floor.tell(ExecType.NEW, 1, 400)
    floor.tell(ExecType.TRADE, 1, 300, 100, last=(100, 990))
    row = floor.row()
    assert row is not None
    assert (row.net_qty, row.open_buy_qty, row.open_orders) == (100, 300, 1)
    assert row.credit_used == 100 * 990 + 300 * 1_000
    floor.tell(ExecType.TRADE, 1, 0, 400, last=(300, 1_000))
    assert floor.usage().credit_used == 100 * 990 + 300 * 1_000
    assert floor.usage().open_orders == 0


def test_closing_a_position_needs_no_credit(floor: Floor) -> None:
    buy(floor, 300)
    buy(floor, 300)
    assert floor.new(20, 5_000, symbol="BBB") == (Code.CREDIT, 600_000, 700_000)
    assert floor.new(400, side=Side.SELL) is None
    assert floor.usage().credit_used == 600_000
    cl_ord_id = floor.next_id
    floor.tell(ExecType.NEW, cl_ord_id, 400, side=Side.SELL)
    floor.tell(ExecType.TRADE, cl_ord_id, 0, 400, side=Side.SELL, last=(400, 1_100))
    assert floor.usage().credit_used == 200_000


def test_credit_of_a_short_position(floor: Floor) -> None:
    buy(floor, 100, side=Side.SELL)
    row = floor.row()
    assert row is not None
    assert (row.net_qty, row.credit_used) == (-100, 100_000)
    buy(floor, 150, 900)
    row = floor.row()
    assert row is not None
    assert (row.net_qty, row.credit_used) == (50, 45_000)


def test_a_market_order_is_valued_at_the_reference(floor: Floor) -> None:
    assert floor.new(10, 0, ord_type=OrdType.MARKET) is None
    assert floor.usage().credit_used == 10_000
    floor.tell(ExecType.NEW, 1, 10, price=0)
    assert floor.usage().credit_used == 10_000
    floor.tell(ExecType.TRADE, 1, 6, 4, price=0, last=(4, 1_010))
    assert floor.usage().credit_used == 4 * 1_010 + 6_000
    floor.tell(ExecType.CANCELED, 1, 0, 4, price=0)
    assert floor.usage().credit_used == 4 * 1_010


# ---------------------------------------------------------------- replaces


def test_a_replace_reserves_what_it_adds(floor: Floor) -> None:
    floor.new(100)
    floor.tell(ExecType.NEW, 1, 100)
    assert floor.replace(1, 150, 1_050) is None
    row = floor.row()
    assert row is not None
    assert (row.open_buy_qty, row.credit_used, row.open_orders) == (150, 157_500, 1)
    floor.tell(ExecType.REPLACED, 2, 150, orig=1, price=1_050)
    assert floor.row() == row
    floor.tell(ExecType.CANCELED, 3, 0, orig=2)
    assert empty(floor)


def test_a_smaller_replace_frees_when_done_not_before(floor: Floor) -> None:
    floor.new(100)
    floor.tell(ExecType.NEW, 1, 100)
    assert floor.replace(1, 50, 900) is None
    assert floor.usage().credit_used == 100_000
    floor.tell(ExecType.REPLACED, 2, 50, orig=1, price=900)
    assert floor.usage().credit_used == 45_000


def test_a_refused_replace_frees_what_it_added(floor: Floor) -> None:
    floor.new(100)
    floor.tell(ExecType.NEW, 1, 100)
    before = floor.risk.usage(ME)
    assert floor.replace(1, 200, 1_000) is None
    floor.tell_refused(2)
    assert floor.risk.usage(ME) == before


def test_replaces_in_flight_of_one_another_are_followed(floor: Floor) -> None:
    """All sent before the first answer: none escapes its checks."""
    assert floor.new(100) is None
    assert floor.replace(1, 200, 1_000) is None
    assert floor.replace(2, 300, 1_000) is None
    assert floor.replace(3, 601, 1_000) == (Code.ORDER_SIZE, 500, 601)
    assert floor.replace(3, 400, 1_001) == (Code.NOTIONAL, 400_000, 400_400)
    assert floor.usage().open_buy_qty == 300
    floor.tell(ExecType.NEW, 1, 100)
    floor.tell(ExecType.REPLACED, 2, 200, orig=1)
    floor.tell(ExecType.REPLACED, 3, 300, orig=2)
    assert (floor.usage().open_buy_qty, floor.usage().open_orders) == (300, 1)
    floor.tell(ExecType.CANCELED, 9, 0, orig=3)
    assert empty(floor)


def test_replace_is_checked_like_a_new_order(floor: Floor) -> None:
    floor.new(400)
    assert floor.replace(1, 400, 1_101) == (Code.NOTIONAL, 400_000, 440_400)
    assert floor.replace(1, 100, 1_101) == (Code.PRICE_BAND, 1_100, 1_101)
    assert floor.replace(1, 501, 900) == (Code.ORDER_SIZE, 500, 501)
    assert floor.new(200, 1_000) is None
    assert floor.replace(1, 401, 900) == (Code.POSITION, 600, 601)
    assert floor.replace(1, 400, 1_000) is None
    floor.switch(PartyAction.SUSPEND, ME, "", 0)
    assert floor.replace(1, 390, 1_000) == (Code.ACCOUNT_SUSPENDED, 0, ME)


def test_replace_needs_credit_for_the_increase_only(floor: Floor) -> None:
    floor.new(300)
    floor.new(40, 5_000, symbol="BBB")
    assert floor.replace(1, 400, 1_000) is None
    refusal = floor.replace(2, 60, 5_000, symbol="BBB")
    assert refusal == (Code.CREDIT, 600_000, 700_000)


def test_replace_of_an_unknown_order_is_left_to_the_matcher(floor: Floor) -> None:
    assert floor.replace(77, 10**6, 1) is None
    assert empty(floor)


def test_a_fill_while_a_replace_is_in_flight(floor: Floor) -> None:
    floor.new(100)
    floor.tell(ExecType.NEW, 1, 100)
    assert floor.replace(1, 150, 1_000) is None
    floor.tell(ExecType.TRADE, 1, 40, 60, last=(60, 1_000))
    row = floor.row()
    assert row is not None
    assert (row.net_qty, row.open_buy_qty, row.credit_used) == (60, 90, 150_000)
    floor.tell(ExecType.TRADE, 1, 0, 100, last=(40, 1_000))
    floor.tell_refused(2)
    assert (floor.usage().open_buy_qty, floor.usage().open_orders) == (0, 0)


# ---------------------------------------------------------------- the feed


def test_a_refusal_of_a_used_id_leaves_the_order_alone(floor: Floor) -> None:
    floor.new(100)
    floor.tell(ExecType.NEW, 1, 100)
    floor.tell(ExecType.REJECTED, 1, 0)  # ID_REUSED
    assert floor.usage().open_buy_qty == 100


def test_a_cancel_that_used_a_new_orders_id_cancels_what_it_named(floor: Floor) -> None:
    floor.new(100)
    floor.tell(ExecType.NEW, 1, 100)
    floor.risk.check(on_the_wire("F", ME, NOW_NS, 2, "AAA", 1), 0)
    assert floor.new(30, cl_ord_id=2) is None
    floor.tell(ExecType.CANCELED, 2, 0, orig=1)
    assert floor.usage().open_buy_qty == 30
    floor.tell(ExecType.REJECTED, 2, 0)
    assert empty(floor)


def test_restated_and_other_reports(floor: Floor) -> None:
    floor.new(100)
    floor.tell(ExecType.NEW, 1, 100)
    floor.tell(ExecType.RESTATED, 1, 70)  # self-match prevention took 30
    assert floor.usage().open_buy_qty == 70
    floor.tell_refused(99)  # as after a mass status request
    assert floor.usage().open_buy_qty == 70


def test_a_new_risk_learns_everything_from_the_feed(floor: Floor) -> None:
    """What was in flight when the one before died is dropped or told by the feed."""
    for args in ((ExecType.NEW, 1, 100), (ExecType.TRADE, 1, 60, 40)):
        floor.tell(*args, last=(40, 1_000) if args[0] is ExecType.TRADE else (0, 0))
    row = floor.row()
    assert row is not None
    assert (row.net_qty, row.open_buy_qty, row.credit_used) == (40, 60, 100_000)
    assert floor.new(100, cl_ord_id=1) is None  # resent: the matcher answers it
    assert floor.row() == row


def test_a_restored_state_is_as_if_followed_from_the_start(floor: Floor) -> None:
    buy(floor, 40, 990)
    floor.new(100)
    floor.tell(ExecType.NEW, floor.next_id, 70, 30, last=(0, 0))
    floor.switch(PartyAction.SUSPEND, OTHER, "", 0)
    floor.switch(PartyAction.SUSPEND, ME, "BBB", 0)
    floor.switch(PartyAction.SUSPEND, 0, "NEW", 0)
    rows = floor.risk.usage(ME)
    state = floor.risk.state()
    floor.new(200)  # in flight: not part of it
    assert floor.risk.state() == state
    fresh = Floor()
    fresh.risk.restore(state)
    assert fresh.risk.state() == state
    assert fresh.risk.usage(ME) == rows
    assert fresh.new(account=OTHER) == (Code.ACCOUNT_SUSPENDED, 0, OTHER)
    assert fresh.new(20, 5_000, symbol="BBB", cl_ord_id=9) == (Code.ACCOUNT_SUSPENDED, 0, ME)
    assert fresh.new(symbol="NEW", cl_ord_id=10) == (Code.INSTRUMENT_HALTED, 0, 0)


def test_usage_rows(floor: Floor) -> None:
    buy(floor, 10)
    floor.new(20, 5_000, symbol="BBB", side=Side.SELL)
    rows = floor.risk.usage(ME, "req")
    assert [(r.pos_req_id, r.total_num_pos_reports, r.account, r.symbol) for r in rows] == [
        ("req", 3, "ME", "AAA"),
        ("req", 3, "ME", "BBB"),
        ("req", 3, "ME", ""),
    ]
    assert (rows[0].net_qty, rows[0].credit_used) == (10, 10_000)
    assert (rows[1].open_sell_qty, rows[1].open_orders, rows[1].credit_used) == (20, 1, 100_000)
    assert (rows[2].credit_used, rows[2].open_orders) == (110_000, 1)
    assert (rows[2].open_orders_max, rows[2].position_max, rows[2].credit_max) == (
        10, 600, 600_000,
    )  # fmt: skip


def test_every_refusal_of_risk_has_a_text() -> None:
    for code in list(Code)[1:]:
        assert code in CATALOGUE
        assert "unknown" not in explain(code, 1, 2)


# ---------------------------------------------------------------- other limits


def test_another_band_holds_from_the_next_order_on(floor: Floor) -> None:
    assert floor.new(price=1_090) is None
    floor.risk.limit({ME: LIMITS.model_copy(update={"band_percent": 1.0})})
    assert floor.new(price=1_090) == (Code.PRICE_BAND, 1_010, 1_090)
    floor.risk.limit({ME: LIMITS})
    assert floor.new(price=1_090) is None
