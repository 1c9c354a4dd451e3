"""The checks, one after the other, each refusing with its code, the limit and the value.

Invariants: the order is fields, symbol, instrument state, tick and lot, size, notional, band,
rate, open orders, position, credit, kill switch; the first that fails is the one told. Only
`reserve` changes exposure, and only when it refuses nothing.
"""

from typing import Final

from rtes.common.enums import OrdType, TimeInForce
from rtes.common.records import (
    D_DISPLAY_QTY,
    D_EXEC_INST,
    D_EXPIRE_TIME,
    D_MIN_QTY,
    D_ORD_TYPE,
    D_ORDER_QTY,
    D_PRICE,
    D_STOP_PX,
    D_TIME_IN_FORCE,
    Command,
)
from rtes.common.refusals import Code
from rtes.services.risk.exposure import Exposure, Market, Position

Refused = tuple[int, int, int]  # (reject_code, limit, value)

SECOND_NS: Final = 1_000_000_000
LIMIT: Final = str(OrdType.LIMIT.value)
GTD: Final = str(TimeInForce.GTD.value)
_PRICED: Final = (LIMIT, str(OrdType.STOP_LIMIT.value))
_STOPS: Final = (str(OrdType.STOP.value), str(OrdType.STOP_LIMIT.value))
_NEVER_REST: Final = (str(OrdType.MARKET.value), str(OrdType.STOP.value))
_RESTING: Final = (str(TimeInForce.DAY.value), str(TimeInForce.GTC.value), GTD)


def wrong_fields(command: Command, received_ns: int) -> Refused | None:
    """Of a NewOrderSingle, the first field that does not fit its type and time in force; value
    is the field's FIX tag."""
    ord_type = command[D_ORD_TYPE]
    tif = command[D_TIME_IN_FORCE]
    qty = command[D_ORDER_QTY]
    shown = command[D_DISPLAY_QTY]
    expire_time = command[D_EXPIRE_TIME]
    rests = tif in _RESTING
    tag = 0
    if (command[D_PRICE] > 0) != (ord_type in _PRICED):
        tag = 44
    elif (command[D_STOP_PX] > 0) != (ord_type in _STOPS):
        tag = 99
    elif ord_type in _STOPS and not rests:
        tag = 59
    elif command[D_EXEC_INST] and not (ord_type == LIMIT and rests):
        tag = 18
    elif shown and (shown > qty or not rests or ord_type in _NEVER_REST):
        tag = 1138
    elif command[D_MIN_QTY] > qty:
        tag = 110
    elif (expire_time > 0) != (tif == GTD):
        tag = 126
    if tag:
        return Code.INVALID_FIELDS, 0, tag
    if expire_time and expire_time <= received_ns:
        return Code.EXPIRE_TIME_PAST, received_ns, expire_time
    return None


def wrong_lots(market: Market, command: Command) -> Refused | None:
    """Of a NewOrderSingle that has more quantities than order_qty."""
    if market.halted:
        return Code.INSTRUMENT_HALTED, 0, 0
    for qty in (command[D_ORDER_QTY], command[D_DISPLAY_QTY], command[D_MIN_QTY]):
        if qty % market.lot:
            return Code.ROUND_LOT, market.lot, qty
    return None


def wrong_terms(
    exposure: Exposure,
    position: Position,
    qty: int,
    price: int,
    stop_px: int,
    notional: int,
    received_ns: int,
) -> Refused | None:
    """All that depends neither on the order's type nor on what else the account holds. price
    and stop_px are 0 where there is none. Counts the order for the rate."""
    market = position.market
    if market.halted:
        return Code.INSTRUMENT_HALTED, 0, 0
    tick = market.tick
    if tick != 1 and (price % tick or stop_px % tick):
        return Code.PRICE_INCREMENT, tick, price if price % tick else stop_px
    if market.lot != 1 and qty % market.lot:
        return Code.ROUND_LOT, market.lot, qty
    if qty < market.qty_min:
        return Code.ORDER_SIZE, market.qty_min, qty
    if qty > market.qty_max or qty > exposure.order_qty_max:
        return Code.ORDER_SIZE, min(market.qty_max, exposure.order_qty_max), qty
    if notional > exposure.notional_max:
        return Code.NOTIONAL, exposure.notional_max, notional
    if position.band_reference != market.reference:
        position.move_band()
    low = position.band_low
    high = position.band_high
    if high:
        if price and not low <= price <= high:
            return Code.PRICE_BAND, low if price < low else high, price
        if stop_px and not low <= stop_px <= high:
            return Code.PRICE_BAND, low if stop_px < low else high, stop_px
    elif stop_px or not price:
        return Code.NO_REFERENCE_PRICE, 0, 0  # a plain limit may make the first price
    if 0 <= received_ns - exposure.second_ns < SECOND_NS:
        exposure.orders_in_second += 1
        if exposure.orders_in_second > exposure.orders_per_s_max:
            return Code.RATE, exposure.orders_per_s_max, exposure.orders_in_second
    else:
        exposure.second_ns = received_ns
        exposure.orders_in_second = 1
    return None


def reserve(
    exposure: Exposure, position: Position, buy: bool, qty: int, notional: int
) -> Refused | None:
    """Position, credit and kill switches; then take up so much more on one side. What takes up
    nothing more always has room."""
    if buy:
        side_qty = position.buy_qty + qty
        side_notional = position.buy_notional + notional
        reach = side_qty + position.net_qty
        used = side_notional + position.cost
    else:
        side_qty = position.sell_qty + qty
        side_notional = position.sell_notional + notional
        reach = side_qty - position.net_qty
        used = side_notional - position.cost
    if reach > exposure.position_max and qty:
        return Code.POSITION, exposure.position_max, reach if buy else -reach
    more = used - position.credit_used
    if more > 0 and exposure.credit_used + more > exposure.credit_max:
        return Code.CREDIT, exposure.credit_max, exposure.credit_used + more
    if exposure.suspended or position.suspended:
        return Code.ACCOUNT_SUSPENDED, 0, exposure.account
    if exposure.session_suspended:
        return Code.SESSION_SUSPENDED, 0, exposure.account
    if buy:
        position.buy_qty = side_qty
        position.buy_notional = side_notional
    else:
        position.sell_qty = side_qty
        position.sell_notional = side_notional
    if more > 0:  # else the other side is the worse one, still
        position.credit_used = used
        exposure.credit_used += more
    return None
