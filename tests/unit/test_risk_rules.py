"""Every refusal of risk, with its code, its limit and the value that tripped it."""

from typing import Any

import pytest
from rtes.common.enums import (
    ExecType,
    OrdType,
    PartyAction,
    Side,
    TimeInForce,
)
from rtes.common.records import NOTICE_LOGON
from rtes.common.refdata import Limits
from rtes.common.refusals import Code
from rtes.services.risk.rules import Risk

from tests.unit.riskfloor import (
    INSTRUMENTS,
    LIMITS,
    ME,
    NOW_NS,
    OPS,
    OTHER,
    Floor,
    accounts,
    buy,
    empty,
    on_the_wire,
)


@pytest.fixture
def floor() -> Floor:
    return Floor()


# ---------------------------------------------------------------- fields

L, M, S, SL, K = (
    OrdType.LIMIT,
    OrdType.MARKET,
    OrdType.STOP,
    OrdType.STOP_LIMIT,
    OrdType.MARKET_TO_LIMIT,
)
IOC, FOK, GTC, GTD = TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTC, TimeInForce.GTD


@pytest.mark.parametrize(
    ("tag", "fields"),
    [
        (44, {"ord_type": L, "price": 0}),
        (44, {"ord_type": M, "price": 1_000}),
        (44, {"ord_type": K, "price": 1_000}),
        (44, {"ord_type": S, "price": 1_000, "stop_px": 1_000}),
        (44, {"ord_type": SL, "price": 0, "stop_px": 1_000}),
        (99, {"ord_type": L, "stop_px": 1_000}),
        (99, {"ord_type": M, "price": 0, "stop_px": 1_000}),
        (99, {"ord_type": S, "price": 0}),
        (99, {"ord_type": SL}),
        (59, {"ord_type": S, "price": 0, "stop_px": 1_000, "tif": IOC}),
        (59, {"ord_type": SL, "stop_px": 1_000, "tif": FOK}),
        (18, {"post_only": True, "tif": IOC}),
        (18, {"post_only": True, "ord_type": M, "price": 0}),
        (1138, {"display_qty": 11}),
        (1138, {"display_qty": 5, "tif": IOC}),
        (1138, {"display_qty": 5, "ord_type": M, "price": 0}),
        (110, {"min_qty": 11}),
        (126, {"tif": GTD}),
        (126, {"expire_time": NOW_NS + 1}),
    ],
)
def test_a_field_that_does_not_fit_is_named(floor: Floor, tag: int, fields: Any) -> None:
    assert floor.new(10, **{"price": 1_000, **fields}) == (Code.INVALID_FIELDS, 0, tag)
    assert empty(floor)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tif": IOC, "min_qty": 10},
        {"tif": FOK},
        {"tif": GTC, "post_only": True, "display_qty": 10},
        {"tif": GTD, "expire_time": NOW_NS + 1, "post_only": True},
        {"ord_type": M, "price": 0},
        {"ord_type": M, "price": 0, "tif": IOC},
        {"ord_type": K, "price": 0, "display_qty": 5},
        {"ord_type": S, "price": 0, "stop_px": 1_050, "tif": GTC},
        {"ord_type": SL, "stop_px": 1_050, "display_qty": 5},
    ],
)
def test_every_combination_that_fits_is_taken(floor: Floor, fields: Any) -> None:
    assert floor.new(10, **{"price": 1_000, **fields}) is None
    assert floor.usage().open_orders == 1


def test_expire_time_must_lie_ahead(floor: Floor) -> None:
    refusal = floor.new(tif=GTD, expire_time=NOW_NS)
    assert refusal == (Code.EXPIRE_TIME_PAST, NOW_NS, NOW_NS)


# ---------------------------------------------------------------- the order itself


def test_unknown_symbol(floor: Floor) -> None:
    assert floor.new(symbol="ZZZ") == (Code.UNKNOWN_SYMBOL, 0, 0)
    assert floor.replace(1, 10, 1_000, symbol="ZZZ") == (Code.UNKNOWN_SYMBOL, 0, 0)


def test_fields_come_before_the_symbol(floor: Floor) -> None:
    assert floor.new(price=0, symbol="ZZZ") == (Code.INVALID_FIELDS, 0, 44)


def test_halted_instrument_takes_cancels_only(floor: Floor) -> None:
    assert floor.new() is None
    floor.switch(PartyAction.HALT_TRADING, 0, "AAA", 0)
    assert floor.new() == (Code.INSTRUMENT_HALTED, 0, 0)
    assert floor.new(display_qty=10) == (Code.INSTRUMENT_HALTED, 0, 0)
    assert floor.replace(1, 20, 1_000) == (Code.INSTRUMENT_HALTED, 0, 0)
    assert floor.risk.check(on_the_wire("F", ME, NOW_NS, 99, "AAA", 1), 0) is None
    assert floor.new(20, 5_000, symbol="BBB") is None
    floor.switch(PartyAction.REINSTATE, 0, "AAA", 0)
    assert floor.new() is None


def test_price_increment(floor: Floor) -> None:
    assert floor.new(20, 5_010, symbol="BBB") == (Code.PRICE_INCREMENT, 50, 5_010)
    stop = floor.new(20, 0, symbol="BBB", ord_type=S, stop_px=5_020)
    assert stop == (Code.PRICE_INCREMENT, 50, 5_020)


def test_round_lot(floor: Floor) -> None:
    assert floor.new(25, 5_000, symbol="BBB") == (Code.ROUND_LOT, 10, 25)
    assert floor.new(40, 5_000, symbol="BBB", display_qty=25) == (Code.ROUND_LOT, 10, 25)
    assert floor.new(40, 5_000, symbol="BBB", min_qty=15) == (Code.ROUND_LOT, 10, 15)
    assert floor.new(40, 5_000, symbol="BBB", display_qty=20, min_qty=30) is None


def test_order_size_names_the_limit_that_is_broken() -> None:
    floor = Floor(LIMITS.model_copy(update={"order_qty_max": 2_000, "notional_max": 10**12}))
    assert floor.new(10, 5_000, symbol="BBB") == (Code.ORDER_SIZE, 20, 10)
    assert floor.new(1_010, 5_000, symbol="BBB") == (Code.ORDER_SIZE, 1_000, 1_010)
    assert floor.new(2_001) == (Code.ORDER_SIZE, 2_000, 2_001)


def test_notional(floor: Floor) -> None:
    assert floor.new(400) is None
    assert floor.new(401) == (Code.NOTIONAL, 400_000, 401_000)


def test_notional_of_orders_without_price_is_at_the_reference(floor: Floor) -> None:
    assert floor.new(401, 0, ord_type=M) == (Code.NOTIONAL, 400_000, 401_000)
    stop = floor.new(401, 0, ord_type=S, stop_px=950)
    assert stop == (Code.NOTIONAL, 400_000, 401_000)


# ---------------------------------------------------------------- price band


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(("price", "edge"), [(899, 900), (1_101, 1_100)])
def test_price_band_names_the_edge(floor: Floor, side: Side, price: int, edge: int) -> None:
    assert floor.new(price=price, side=side) == (Code.PRICE_BAND, edge, price)
    assert floor.new(price=edge, side=side) is None


def test_stop_orders_are_banded_by_their_stop_px(floor: Floor) -> None:
    assert floor.new(10, 0, ord_type=S, stop_px=1_101) == (Code.PRICE_BAND, 1_100, 1_101)
    assert floor.new(10, 1_100, ord_type=SL, stop_px=899) == (Code.PRICE_BAND, 900, 899)
    assert floor.new(10, 1_101, ord_type=SL, stop_px=900) == (Code.PRICE_BAND, 1_100, 1_101)
    assert floor.new(10, 0, ord_type=S, stop_px=1_100) is None


def test_market_and_stop_orders_need_a_reference_price(floor: Floor) -> None:
    no_reference = (Code.NO_REFERENCE_PRICE, 0, 0)
    assert floor.new(10, 0, symbol="NEW", ord_type=M) == no_reference
    assert floor.new(10, 0, symbol="NEW", ord_type=K) == no_reference
    assert floor.new(10, 0, symbol="NEW", ord_type=S, stop_px=10) == no_reference
    assert floor.new(10, 10, symbol="NEW", ord_type=SL, stop_px=10) == no_reference


def test_a_limit_order_may_make_the_first_price_and_bands_hold_from_then_on(floor: Floor) -> None:
    """Ancestor fault 11: a collar without a reference price was never applied."""
    assert floor.new(10, 50, symbol="NEW") is None
    options: Any = {"symbol": "NEW", "price": 50}
    floor.tell(ExecType.NEW, 1, 10, **options)
    floor.tell(ExecType.TRADE, 1, 0, 10, last=(10, 50), **options)
    assert floor.new(10, 56, symbol="NEW") == (Code.PRICE_BAND, 55, 56)
    assert floor.new(10, 0, symbol="NEW", ord_type=M) is None


def test_the_band_follows_the_last_trade_of_anyone(floor: Floor) -> None:
    for cl_ord_id in (7, 8):
        floor.tell(ExecType.NEW, cl_ord_id, 5, account=OTHER)
    first = floor.moved(ExecType.TRADE, 7, 0, 5, last=(5, 1_050))
    second = floor.moved(ExecType.TRADE, 8, 0, 5, last=(5, 1_090))
    floor.block(OTHER, *second)
    floor.block(OTHER, *first)  # an older trade does not move it back
    assert floor.new(price=1_199) is None
    assert floor.new(price=1_200) == (Code.PRICE_BAND, 1_199, 1_200)


def test_the_band_follows_trades_of_other_shards_accounts() -> None:
    floor = Floor()
    floor.risk = Risk(INSTRUMENTS, accounts(), shard=1, shards=2)
    floor.tell(ExecType.TRADE, 7, 0, 5, account=OTHER, last=(5, 1_100))
    assert floor.risk.usage(OTHER) == []
    assert floor.new(price=1_210) is None


# ---------------------------------------------------------------- rate


def test_rate_is_per_account_and_second() -> None:
    floor = Floor(Limits(orders_per_s_max=3))
    assert [floor.new() for _ in range(3)] == [None] * 3
    assert floor.new() == (Code.RATE, 3, 4)
    assert floor.replace(1, 20, 1_000) == (Code.RATE, 3, 5)
    assert floor.new(account=OTHER) is None
    floor.now_ns += 999_999_999
    assert floor.new() == (Code.RATE, 3, 6)
    floor.now_ns += 1
    assert floor.new() is None


def test_a_command_without_a_time_came_with_the_one_before() -> None:
    floor = Floor(Limits(orders_per_s_max=2))
    told = []
    for now_ns in (NOW_NS, 0, 0, NOW_NS + 10**9, 0, 0):
        floor.now_ns = now_ns
        told.append(floor.new())
    assert told == [None, None, (Code.RATE, 2, 3)] * 2


def test_cancels_are_never_refused_for_rate() -> None:
    floor = Floor(Limits(orders_per_s_max=1))
    floor.new()
    for i in range(2, 10):
        assert floor.risk.check(on_the_wire("F", ME, NOW_NS, i, "AAA", 1), 0) is None


def test_a_gateway_whose_clock_went_back_starts_a_new_second() -> None:
    floor = Floor(Limits(orders_per_s_max=1))
    assert floor.new() is None
    floor.now_ns -= 3_600_000_000_000
    assert floor.new() is None
    assert floor.new() == (Code.RATE, 1, 2)


# ---------------------------------------------------------------- open orders


def test_open_orders(floor: Floor) -> None:
    assert [floor.new(1) for _ in range(10)] == [None] * 10
    assert floor.new(1) == (Code.OPEN_ORDERS, 10, 11)
    floor.tell(ExecType.NEW, 1, 1)
    floor.tell(ExecType.CANCELED, 1, 0)
    assert floor.new(1) is None


@pytest.mark.parametrize("end", [ExecType.CANCELED, ExecType.EXPIRED, ExecType.REJECTED])
def test_no_slot_leaks(floor: Floor, end: ExecType) -> None:
    """Ancestor fault 5: filled aggressors and rejects leaked slots until all was refused."""
    for _ in range(100):
        floor.now_ns += 1_000_000_000
        assert floor.new(100) is None
        if end is not ExecType.REJECTED:
            floor.tell(ExecType.NEW, floor.next_id, 100)
        floor.tell(end, floor.next_id, 0)
        assert empty(floor)


# ---------------------------------------------------------------- position


@pytest.mark.parametrize(("side", "sign"), [(Side.BUY, 1), (Side.SELL, -1)])
def test_position_counts_open_orders_as_done(floor: Floor, side: Side, sign: int) -> None:
    assert floor.new(300, side=side) is None
    assert floor.new(301, side=side) == (Code.POSITION, 600, sign * 601)
    assert floor.new(300, side=side, price=950) is None


def test_position_counts_fills(floor: Floor) -> None:
    buy(floor, 400)
    assert floor.new(201) == (Code.POSITION, 600, 601)
    assert floor.new(200) is None
    refusal = (Code.POSITION, 600, -601)
    floor.new(400, side=Side.SELL)
    floor.tell(ExecType.NEW, floor.next_id, 400, side=Side.SELL)
    assert floor.new(400, side=Side.SELL) is None
    assert floor.new(201, side=Side.SELL) == refusal


# ---------------------------------------------------------------- kill switches


def test_account_suspended(floor: Floor) -> None:
    floor.switch(PartyAction.SUSPEND, ME, "", 0)
    assert floor.new() == (Code.ACCOUNT_SUSPENDED, 0, ME)
    assert floor.usage().suspended == 1
    assert floor.new(account=OTHER) is None
    floor.block(0, notices=[(NOTICE_LOGON, ME, 0, 77, 1)])
    assert floor.new() == (Code.ACCOUNT_SUSPENDED, 0, ME)
    floor.switch(PartyAction.REINSTATE, ME, "", 0)
    assert floor.new() is None


def test_session_suspended_until_the_next_logon(floor: Floor) -> None:
    floor.switch(PartyAction.SUSPEND, ME, "", 1)
    assert floor.new() == (Code.SESSION_SUSPENDED, 0, ME)
    floor.block(0, notices=[(NOTICE_LOGON, OTHER, 0, 77, 1)])
    assert floor.new() == (Code.SESSION_SUSPENDED, 0, ME)
    floor.block(0, notices=[(NOTICE_LOGON, ME, 0, 78, 2)])
    assert floor.new() is None


def order_by(floor: Floor, gateway: int, account: int = ME) -> Any:
    floor.next_id += 1
    terms = ("D", account, NOW_NS, floor.next_id, "AAA", Side.BUY, 10, OrdType.LIMIT, 1_000, "0")
    return floor.risk.check(on_the_wire(*terms, 0, "", 0, 0, 0, 0, 1), gateway)


def test_once_a_logon_has_passed_other_gateways_speak_for_the_account_no_more(
    floor: Floor,
) -> None:
    elsewhere = (Code.REPLACED_SESSION, 0, ME)
    assert order_by(floor, 0) is None
    assert floor.risk.check(("A", ME, NOW_NS, 0, 1, 5, 0, 30, 0, 1), 1) is None
    used = floor.usage()
    assert order_by(floor, 0) == elsewhere
    assert floor.risk.check(("F", ME, NOW_NS, 90, "AAA", 1), 0) == elsewhere
    assert floor.risk.check(("XD", ME, NOW_NS, 0, 0, 5), 0) is None
    assert floor.usage() == used
    assert order_by(floor, 0, OTHER) is None
    assert order_by(floor, 1) is None
    floor.block(0, notices=[(NOTICE_LOGON, ME, 0, 77, 1)])  # one that passed before
    assert floor.risk.check(("A", ME, NOW_NS, 0, 0, 4, 0, 30, 1, 1), 0) is None  # to another shard
    assert order_by(floor, 1) is None


def test_a_new_risk_knows_from_the_feed_or_a_snapshot_whose_word_counts(floor: Floor) -> None:
    for turn, gateway in ((2, 1), (1, 0)):
        floor.block(0, notices=[(NOTICE_LOGON, ME, gateway, 77, turn)])
    restored = Floor()
    restored.risk.restore(floor.risk.state())
    for each in (floor, restored):
        assert order_by(each, 0) == (Code.REPLACED_SESSION, 0, ME)
        assert order_by(each, 1) is None


def test_account_suspended_in_one_symbol(floor: Floor) -> None:
    floor.switch(PartyAction.HALT_TRADING, ME, "AAA", 0)
    assert floor.new() == (Code.ACCOUNT_SUSPENDED, 0, ME)
    assert floor.new(20, 5_000, symbol="BBB") is None
    assert floor.new(account=OTHER) is None


def test_a_suspended_account_still_gets_out_and_asks(floor: Floor) -> None:
    floor.new()
    floor.switch(PartyAction.SUSPEND, ME, "", 0)
    for command in (
        ("F", ME, NOW_NS, 90, "AAA", 1),
        ("q", ME, NOW_NS, 91, "7", "", ""),
        ("H", ME, NOW_NS, 92, "AAA", 1),
        ("AF", ME, NOW_NS, 93, ""),
        ("A", ME, NOW_NS, 0, 0, 5, 0, 30, 0, 1),
        ("XD", ME, NOW_NS, 0, 0, 5),
    ):
        assert floor.risk.check(command, 0) is None


def test_not_authorized(floor: Floor) -> None:
    kill = ("DH", ME, NOW_NS, 90, 0, "OTHER", "", 0)
    assert floor.risk.check(kill, 0) == (Code.NOT_AUTHORIZED, 0, ME)
    assert floor.risk.check(("DH", OPS, NOW_NS, 90, 0, "OTHER", "", 0), 0) is None
    flag = (NOW_NS, 91, "no_self_trades", 1, "")
    refused = floor.risk.check(("UF", ME, *flag), 0)
    assert refused is not None
    assert refused[0] == Code.NOT_AUTHORIZED
    assert floor.risk.check(("UF", OPS, *flag), 0) is None
    assert floor.new(account=99) == (Code.NOT_AUTHORIZED, 0, 99)
    assert floor.risk.check(("F", 99, NOW_NS, 90, "AAA", 1), 0) == (Code.NOT_AUTHORIZED, 0, 99)


def test_accounts_of_other_shards_are_not_known() -> None:
    risk = Risk(INSTRUMENTS, accounts(), shard=0, shards=2)
    assert risk.check(("F", OTHER, NOW_NS, 90, "AAA", 1), 0) is None
    assert risk.check(("F", ME, NOW_NS, 90, "AAA", 1), 0) == (Code.NOT_AUTHORIZED, 0, ME)


def test_a_switch_that_names_nothing_halts_everything(floor: Floor) -> None:
    floor.switch(PartyAction.HALT_TRADING, 0, "", 0)
    assert floor.new() == (Code.INSTRUMENT_HALTED, 0, 0)
    assert floor.new(20, 5_000, symbol="BBB") == (Code.INSTRUMENT_HALTED, 0, 0)
    floor.switch(PartyAction.REINSTATE, 0, "", 0)
    assert floor.new() is None
