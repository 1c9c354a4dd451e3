"""The one catalogue of refusals: every code, its FIX reason, the field it names and its meaning.

A refusal on the wire is (reject_code, limit, value); everything else about it is looked up here,
so that the docs, the SDK's text and the tests cannot disagree with the services.
"""

from enum import IntEnum
from typing import NamedTuple


class Code(IntEnum):
    OK = 0
    # order entry, decided by risk, in the order checked
    UNKNOWN_SYMBOL = 1
    INSTRUMENT_HALTED = 2
    PRICE_INCREMENT = 3
    ROUND_LOT = 4
    INVALID_FIELDS = 5
    ORDER_SIZE = 6
    NOTIONAL = 7
    PRICE_BAND = 8
    RATE = 9
    OPEN_ORDERS = 11
    POSITION = 12
    CREDIT = 13
    ACCOUNT_SUSPENDED = 14
    SESSION_SUSPENDED = 15
    NO_REFERENCE_PRICE = 16
    EXPIRE_TIME_PAST = 17
    # decided by the matcher
    UNKNOWN_ORDER = 30
    TOO_LATE = 31
    POST_ONLY_WOULD_TRADE = 32
    NO_LIQUIDITY = 33
    QTY_BELOW_FILLED = 34
    OUT_OF_ORDER = 35
    ID_TOO_OLD = 36
    ID_REUSED = 37
    SIDE_OR_TYPE_CHANGED = 38
    POISONED = 39
    # decided by the gateway, never journaled
    MALFORMED = 60
    INVALID_VALUE = 61
    TOO_LARGE = 62
    NOT_LOGGED_ON = 63
    NOT_AUTHORIZED = 64
    VERSION = 65
    BUSY = 66
    THROTTLED = 67
    REPLACED_SESSION = 68
    READ_ONLY = 69
    BANNED = 70
    HEART_BT_INT = 71
    UNKNOWN_APPL_ID = 72


class Refusal(NamedTuple):
    """ord_rej_reason is FIX 103; ref_tag_id the FIX tag at fault (0: none);
    text may use {limit} and {value}."""

    ord_rej_reason: int
    ref_tag_id: int
    text: str


CATALOGUE: dict[Code, Refusal] = {
    Code.UNKNOWN_SYMBOL: Refusal(1, 55, "symbol is not listed; see `rtes instruments`"),
    Code.INSTRUMENT_HALTED: Refusal(2, 55, "instrument is halted; only cancels are taken"),
    Code.PRICE_INCREMENT: Refusal(18, 44, "price {value} is not a multiple of {limit} ticks"),
    Code.ROUND_LOT: Refusal(13, 38, "quantity {value} is not a multiple of {limit} lots"),
    Code.INVALID_FIELDS: Refusal(11, 0, "field {value} does not fit this order type or TIF"),
    Code.ORDER_SIZE: Refusal(3, 38, "quantity {value} is outside the limit {limit}"),
    Code.NOTIONAL: Refusal(27, 38, "notional {value} exceeds {limit}"),
    Code.PRICE_BAND: Refusal(16, 44, "price {value} is beyond the band edge {limit}"),
    Code.RATE: Refusal(21, 0, "{value} orders in this second; the limit is {limit}"),
    Code.OPEN_ORDERS: Refusal(3, 0, "would be open order {value}; the limit is {limit}"),
    Code.POSITION: Refusal(3, 38, "position could reach {value}; the limit is {limit}"),
    Code.CREDIT: Refusal(25, 38, "credit needed {value} exceeds the limit {limit}"),
    Code.ACCOUNT_SUSPENDED: Refusal(15, 1, "account is suspended by an operator"),
    Code.SESSION_SUSPENDED: Refusal(15, 1, "session is suspended by an operator"),
    Code.NO_REFERENCE_PRICE: Refusal(19, 55, "no reference price for this instrument"),
    Code.EXPIRE_TIME_PAST: Refusal(4, 126, "expire_time {value} is not after {limit}"),
    Code.UNKNOWN_ORDER: Refusal(5, 41, "no order {value}; the highest cl_ord_id used is {limit}"),
    Code.TOO_LATE: Refusal(4, 41, "order {value} is not open any more, if it ever was"),
    Code.POST_ONLY_WOULD_TRADE: Refusal(
        11, 18, "post-only at {value} would trade with {limit}; send a price that does not cross"
    ),
    Code.NO_LIQUIDITY: Refusal(13, 38, "only {limit} of the {value} required can trade now"),
    Code.QTY_BELOW_FILLED: Refusal(13, 38, "order_qty {value} is not above the filled {limit}"),
    Code.OUT_OF_ORDER: Refusal(6, 11, "cl_ord_id {value} was skipped; {limit} was seen since"),
    Code.ID_TOO_OLD: Refusal(6, 11, "cl_ord_id {value} is older than what is remembered"),
    Code.ID_REUSED: Refusal(6, 11, "cl_ord_id {value} was used for a different request"),
    Code.SIDE_OR_TYPE_CHANGED: Refusal(11, 0, "a replace cannot change field {value}"),
    Code.POISONED: Refusal(99, 0, "this order stopped the matcher and was set aside"),
    Code.MALFORMED: Refusal(99, 0, "not a flat msgpack array of a known message type"),
    Code.INVALID_VALUE: Refusal(99, 0, "field {value} is missing, of the wrong type or range"),
    Code.TOO_LARGE: Refusal(99, 0, "frame of {value} bytes; the limit is {limit}"),
    Code.NOT_LOGGED_ON: Refusal(99, 0, "send Logon first"),
    Code.NOT_AUTHORIZED: Refusal(99, 1, "this key may not do that"),
    Code.VERSION: Refusal(99, 0, "protocol version {value} is not served; {limit} is"),
    Code.BUSY: Refusal(
        99,
        0,
        "busy ({value} of {limit} in flight; 0 of 0: stands still); retry with a new cl_ord_id",
    ),
    Code.THROTTLED: Refusal(
        99, 0, "more than {limit} messages a second; retry later with a new cl_ord_id"
    ),
    Code.REPLACED_SESSION: Refusal(99, 0, "a newer logon of this account took over"),
    Code.READ_ONLY: Refusal(
        99, 55, "the exchange's disk is full: no new orders for now; cancels still work"
    ),
    Code.BANNED: Refusal(99, 0, "this key sent too much, or what cannot be read: log on later"),
    Code.HEART_BT_INT: Refusal(99, 108, "heart_bt_int {value} exceeds the limit {limit}"),
    Code.UNKNOWN_APPL_ID: Refusal(
        99, 1180, "there is no matcher shard {value}; the exchange has {limit}, counted from 0"
    ),
}


def explain(code: int, limit: int, value: int) -> str:
    """The catalogue's text for a refusal, with its limit and value filled in."""
    if code not in CATALOGUE:
        return f"refused with unknown code {code}"
    return CATALOGUE[Code(code)].text.format(limit=limit, value=value)
