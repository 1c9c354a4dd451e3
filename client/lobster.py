"""LOBSTER message rows to orders: what a participant would send to make that day happen again.

Pure: rows in, messages out, in order. New orders come from a resting account; the execution of a
visible order becomes an IOC order of the opposite side, at its price and size, from a taking
account, so that it trades with the resting one. What cannot be sent is counted by reason: the
file lacks the opening book, so rows that name an order of before are skipped.
Prices are of 1/10,000 currency units in the file, ticks in the messages.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Final, NamedTuple

from rtes.common.enums import OrdType, Side, TimeInForce
from rtes.common.messages import NewOrderSingle, OrderCancelReplaceRequest, OrderCancelRequest

PRICE_UNITS: Final = 10_000
COLUMNS: Final = 6


class RowType(IntEnum):
    NEW = 1
    PARTIAL_CANCEL = 2
    DELETE = 3
    EXECUTION = 4
    HIDDEN_EXECUTION = 5
    CROSS = 6
    HALT = 7


class Skip(StrEnum):
    """Why a row was not sent."""

    UNSEEN = "names an order from before the file"
    HIDDEN = "execution of a hidden order"
    CROSS = "auction trade"
    HALT = "trading halt"
    OFF_GRID = "price or size is not a whole number of ticks or lots"


NEVER_SENT: Final = {
    RowType.HIDDEN_EXECUTION: Skip.HIDDEN,
    RowType.CROSS: Skip.CROSS,
    RowType.HALT: Skip.HALT,
}


class Row(NamedTuple):
    """One line of the file. direction is that of the resting order: 1 buy, -1 sell."""

    time_ns: int
    row_type: RowType
    order_id: int
    size: int
    price: int
    direction: int


Message = NewOrderSingle | OrderCancelReplaceRequest | OrderCancelRequest


class Action(NamedTuple):
    """One message to send; by the taking account or by the resting one."""

    time_ns: int
    taking: bool
    message: Message


@dataclass(slots=True)
class _Resting:
    cl_ord_id: int
    side: Side
    price: int
    total_qty: int
    left_qty: int


def parse(line: str) -> Row:
    """Raises ValueError, saying what is wrong, when the line is not a LOBSTER message row."""
    columns = line.strip().split(",")
    if len(columns) < COLUMNS:
        raise ValueError(f"{len(columns)} columns; a LOBSTER message row has {COLUMNS}")
    seconds, _, fraction = columns[0].partition(".")
    time_ns = int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
    row_type, order_id, size, price, direction = (int(c) for c in columns[1:COLUMNS])
    if direction not in (1, -1):
        raise ValueError(f"direction {direction} is neither 1 nor -1")
    return Row(time_ns, RowType(row_type), order_id, size, price, direction)


class Translator:
    """Rows of one instrument to messages. ids yield the cl_ord_ids of each account."""

    def __init__(
        self,
        symbol: str,
        tick_size: str,
        lot_size: str,
        *,
        resting_ids: Iterator[int],
        taking_ids: Iterator[int],
    ) -> None:
        self.skipped: Counter[Skip] = Counter()
        self._symbol = symbol
        self._tick = Fraction(tick_size) * PRICE_UNITS
        self._lot = Fraction(lot_size)
        self._resting_ids = resting_ids
        self._taking_ids = taking_ids
        self._orders: dict[int, _Resting] = {}

    def translate(self, row: Row) -> Action | None:
        """What to send for the row; None when it is skipped, which is counted."""
        message = self._message(row)
        if isinstance(message, Skip):
            self.skipped[message] += 1
            return None
        return Action(row.time_ns, row.row_type is RowType.EXECUTION, message)

    def _message(self, row: Row) -> Message | Skip:
        if row.row_type in NEVER_SENT:
            return NEVER_SENT[row.row_type]
        price, price_rest = divmod(row.price, self._tick)
        qty, qty_rest = divmod(row.size, self._lot)
        if price_rest or qty_rest:
            return Skip.OFF_GRID
        if row.row_type is RowType.NEW:
            return self._new(row, price, qty)
        order = self._orders.get(row.order_id)
        if order is None:
            return Skip.UNSEEN
        if row.row_type is RowType.EXECUTION:
            return self._execution(row, order, qty)
        if row.row_type is RowType.PARTIAL_CANCEL and qty < order.left_qty:
            return self._reduce(order, qty)
        return self._cancel(row, order)

    def _new(self, row: Row, price: int, qty: int) -> Message:
        side = Side.BUY if row.direction > 0 else Side.SELL
        order = _Resting(next(self._resting_ids), side, price, qty, qty)
        self._orders[row.order_id] = order
        return _limit(order.cl_ord_id, self._symbol, side, qty, price, TimeInForce.GTC)

    def _reduce(self, order: _Resting, qty: int) -> Message:
        orig_cl_ord_id, order.cl_ord_id = order.cl_ord_id, next(self._resting_ids)
        order.total_qty -= qty
        order.left_qty -= qty
        return OrderCancelReplaceRequest(
            order.cl_ord_id, self._symbol, orig_cl_ord_id, order.total_qty, order.price
        )

    def _cancel(self, row: Row, order: _Resting) -> Message:
        del self._orders[row.order_id]
        return OrderCancelRequest(next(self._resting_ids), self._symbol, order.cl_ord_id)

    def _execution(self, row: Row, order: _Resting, qty: int) -> Message:
        order.left_qty -= qty
        if order.left_qty <= 0:
            del self._orders[row.order_id]
        side = Side.SELL if order.side is Side.BUY else Side.BUY
        cl_ord_id = next(self._taking_ids)
        return _limit(cl_ord_id, self._symbol, side, qty, order.price, TimeInForce.IOC)


def _limit(
    cl_ord_id: int, symbol: str, side: Side, qty: int, price: int, tif: TimeInForce
) -> NewOrderSingle:
    return NewOrderSingle(cl_ord_id, symbol, side, qty, OrdType.LIMIT, price, tif)
