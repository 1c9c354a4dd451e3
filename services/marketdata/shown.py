"""The orders of one instrument as far as the public sees them, and how a command changed them.

Invariants: holds exactly the resting orders, those of a level in the order of its queue; an order
that lost its priority goes and comes again.
"""

from typing import Any, Final

from rtes.common.enums import MdEntryType, MdUpdateAction
from rtes.common.invariant import invariant
from rtes.services.marketdata.replica import R_EXEC_TYPE, R_LAST_QTY, R_LIQUIDITY
from rtes.services.matcher.orders import BUY, RESTING, Order
from rtes.services.matcher.reporter import ADDED, TRADE, Event

OrderChange = tuple[Any, ...]  # OrderEntry's fields after symbol, without the time
# plain strings: an enum's member takes longer to encode than all the rest of its message
NEW: Final = str(MdUpdateAction.NEW)
CHANGE: Final = str(MdUpdateAction.CHANGE)
DELETE: Final = str(MdUpdateAction.DELETE)
BID: Final = str(MdEntryType.BID)
OFFER: Final = str(MdEntryType.OFFER)


class Shown:
    """One resting order. order_qty is never told: it decides what a replace does to priority."""

    __slots__ = ("entry", "order_qty", "price", "qty")

    def __init__(self, entry: str, price: int, qty: int, order_qty: int) -> None:
        self.entry = entry
        self.price = price
        self.qty = qty
        self.order_qty = order_qty


class ShownOrders:
    """The resting orders of one instrument by order_id."""

    __slots__ = ("_orders",)

    def __init__(self) -> None:
        self._orders: dict[int, Shown] = {}

    def entries(self) -> list[OrderChange]:
        """All orders as if they came now."""
        orders = self._orders.items()
        return [(NEW, o.entry, order_id, o.price, o.qty) for order_id, o in orders]

    def state(self) -> list[tuple[Any, ...]]:
        """Rows of (order_id, entry, price, qty, order_qty), in order."""
        orders = self._orders.items()
        return [(order_id, o.entry, o.price, o.qty, o.order_qty) for order_id, o in orders]

    def restore(self, rows: list[list[Any]]) -> None:
        for order_id, *row in rows:
            self._orders[order_id] = Shown(*row)

    def update(self, events: list[Event]) -> list[OrderChange]:
        """How the command that did this changed the orders shown."""
        changes: list[OrderChange] = []
        if len(events) == 1:  # most commands: no trade, so nothing was filled
            order = events[0][1]
            if self._settle(order, 0, changes):
                changes.append(self._place(order))
            return changes
        placed: dict[int, Order] = {}
        for order_id, (order, filled) in _touched(events).items():
            if self._settle(order, filled, changes):
                placed[order_id] = order
        changes += [self._place(order) for order in in_queue_order(placed)]
        return changes

    def _settle(self, order: Order, filled: int, changes: list[OrderChange]) -> bool:
        """Tell what became of an order where it stood; True when it is to be placed anew."""
        order_id = order.order_id
        before = self._orders.get(order_id)
        if before is None:
            return order.state == RESTING
        if order.state != RESTING or _lost_priority(before, order, filled):
            del self._orders[order_id]
            changes.append((DELETE, before.entry, order_id, before.price, 0))
            return order.state == RESTING
        shown = order.shown
        before.order_qty = order.order_qty
        if before.qty != shown:  # else at most what is hidden changed
            before.qty = shown
            changes.append((CHANGE, before.entry, order_id, before.price, shown))
        return False

    def _place(self, order: Order) -> OrderChange:
        entry = BID if order.side == BUY else OFFER
        order_id, price, shown = order.order_id, order.price, order.shown
        self._orders[order_id] = Shown(entry, price, shown, order.order_qty)
        return NEW, entry, order_id, price, shown


def _touched(events: list[Event]) -> dict[int, tuple[Order, int]]:
    """By order_id: the order, and what traded of it while it rested."""
    touched: dict[int, tuple[Order, int]] = {}
    for report, order in events:
        filled = touched[order.order_id][1] if order.order_id in touched else 0
        if report[R_EXEC_TYPE] == TRADE and report[R_LIQUIDITY] == ADDED:
            filled += report[R_LAST_QTY]
        touched[order.order_id] = order, filled
    return touched


def _lost_priority(before: Shown, order: Order, filled: int) -> bool:
    """A replace that moved or enlarged it, or an iceberg that traded all it showed."""
    return order.price != before.price or order.order_qty > before.order_qty or filled >= before.qty


def in_queue_order(placed: dict[int, Order]) -> list[Order]:
    """What one command put at the tails of levels, each level's in the order of its queue."""
    if len(placed) < 2:
        return list(placed.values())
    ordered: list[Order] = []
    while placed:
        order_id, order = next(iter(placed.items()))
        level = order.level
        tail: list[Order] = []
        at = level.tail if level is not None else None
        while at is not None and (found := placed.pop(at.order_id, None)) is not None:
            tail.append(found)
            at = at.prev
        invariant(order_id not in placed, "an order that was placed now is not at the tail")
        ordered += reversed(tail)
    return ordered
