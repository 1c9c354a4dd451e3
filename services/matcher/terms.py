"""What only the matcher can refuse, because it depends on the book or on what came before.

Risk has checked all else. A refusal is (reject_code, limit, value) and changes nothing.
"""

from typing import Any, Final

from rtes.common.refusals import Code
from rtes.services.matcher.book import Book, BookSide
from rtes.services.matcher.matching import MARKET_TO_LIMIT, STOP
from rtes.services.matcher.orders import BUY, WAITING, Order, Participant
from rtes.services.matcher.reporter import Refused

POST_ONLY: Final = "6"
# FIX tags of the fields that a replace must leave as they are
PRICE: Final = 44
STOP_PX: Final = 99
MIN_QTY: Final = 110
DISPLAY_QTY: Final = 1138


def suspended(book: Book, p: Participant) -> Refused | None:
    """Commands that risk passed before it followed the kill switch end here."""
    if book.halted:
        return int(Code.INSTRUMENT_HALTED), 0, 0
    if p.suspended and ("" in p.suspended or book.symbol in p.suspended):
        return int(Code.ACCOUNT_SUSPENDED), 0, p.account
    if p.session_suspended:
        return int(Code.SESSION_SUSPENDED), 0, p.account
    return None


def order_refused(book: Book, p: Participant, command: tuple[Any, ...]) -> Refused | None:
    """Of a NewOrderSingle."""
    refused = suspended(book, p)
    if refused is not None:
        return refused
    if command[11] == POST_ONLY:
        return _would_trade(book.asks if command[5] == BUY else book.bids, command[8])
    return None


def replace_refused(
    book: Book, order: Order, order_qty: int, price: int, stop_px: int
) -> Refused | None:
    """Of an OrderCancelReplaceRequest of an open order."""
    refused = suspended(book, order.owner)
    if refused is not None:
        return refused
    if order_qty <= order.cum:
        return int(Code.QTY_BELOW_FILLED), order.cum, order_qty
    changed = 0
    if (order.state == WAITING) != (stop_px > 0):
        changed = STOP_PX
    elif (price > 0) == (order.ord_type in (STOP, MARKET_TO_LIMIT)):
        changed = PRICE
    elif order.display_qty > order_qty:
        changed = DISPLAY_QTY
    elif order.min_qty > order_qty:  # of a stop; others have traded it
        changed = MIN_QTY
    if changed:
        return int(Code.SIDE_OR_TYPE_CHANGED), 0, changed
    if order.exec_inst == POST_ONLY:
        return _would_trade(book.opposite(order), price)
    return None


def _would_trade(other: BookSide, price: int) -> Refused | None:
    best = other.best()
    if best is None or not other.reaches(best.price, price):
        return None
    return int(Code.POST_ONLY_WOULD_TRADE), best.price, price


def not_open(p: Participant, command: tuple[Any, ...]) -> Refused:
    """Too late for an id that was used, unknown for one that never was or is of another symbol."""
    orig = command[5]
    known = orig < command[3] and orig not in p.orders
    return int(Code.TOO_LATE if known else Code.UNKNOWN_ORDER), p.mark, orig
