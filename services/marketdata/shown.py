"""The orders of one instrument as far as the public sees them, and how a command changed them.

Invariants: holds exactly the resting orders, those of a level in the order of its queue; an order
that lost its priority goes and comes again. Levels are the sums of the orders.
"""

from bisect import bisect_left, insort
from typing import Any, Final, NamedTuple

from rtes.common.enums import MdEntryType, MdUpdateAction, Side
from rtes.common.invariant import invariant
from rtes.services.marketdata.replica import R_EXEC_TYPE, R_LAST_QTY, R_LIQUIDITY
from rtes.services.matcher.orders import RESTING, Order
from rtes.services.matcher.reporter import ADDED, TRADE, Event

Level = tuple[int, int, int]  # price in ticks, shown lots, orders
OrderChange = tuple[MdUpdateAction, MdEntryType, int, int, int]  # OrderEntry's, without the time
NEW, CHANGE, DELETE = MdUpdateAction.NEW, MdUpdateAction.CHANGE, MdUpdateAction.DELETE
ENTRY_OF: Final = {Side.BUY.value: MdEntryType.BID, Side.SELL.value: MdEntryType.OFFER}


class Shown(NamedTuple):
    """One resting order. order_qty is never told: it decides what a replace does to priority."""

    entry: MdEntryType
    price: int
    qty: int
    order_qty: int


class ShownSide:
    """The levels of one side, best first."""

    def __init__(self, sign: int) -> None:
        self._sign = sign  # -1 for bids: the best key is the smallest
        self._keys: list[int] = []
        self._levels: dict[int, tuple[int, int]] = {}  # by price: shown lots, orders

    def add(self, price: int, qty: int, orders: int) -> None:
        """Change a level by so many lots and orders."""
        level = self._levels.get(price)
        if level is None:
            insort(self._keys, self._sign * price)
            level = (0, 0)
        qty, orders = level[0] + qty, level[1] + orders
        if orders:
            self._levels[price] = (qty, orders)
        else:
            invariant(qty == 0, "a level without orders shows a quantity")
            del self._levels[price]
            del self._keys[bisect_left(self._keys, self._sign * price)]

    def best(self, levels: int) -> list[Level]:
        """The best levels."""
        prices = [self._sign * key for key in self._keys[:levels]]
        return [(price, *self._levels[price]) for price in prices]


class ShownOrders:
    """The resting orders of one instrument by order_id."""

    def __init__(self) -> None:
        self.sides = {MdEntryType.BID: ShownSide(-1), MdEntryType.OFFER: ShownSide(1)}
        self._orders: dict[int, Shown] = {}

    def entries(self) -> list[OrderChange]:
        """All orders as if they came now."""
        orders = self._orders.items()
        return [(NEW, o.entry, order_id, o.price, o.qty) for order_id, o in orders]

    def state(self) -> list[tuple[Any, ...]]:
        """Rows of (order_id, *Shown), in order."""
        return [(order_id, *order) for order_id, order in self._orders.items()]

    def restore(self, rows: list[list[Any]]) -> None:
        for order_id, entry, price, qty, order_qty in rows:
            side = MdEntryType(entry)
            self._orders[order_id] = Shown(side, price, qty, order_qty)
            self.sides[side].add(price, qty, 1)

    def update(self, events: list[Event]) -> list[OrderChange]:
        """How the command that did this changed the orders shown."""
        changes: list[OrderChange] = []
        placed: dict[int, Order] = {}
        for order_id, (order, filled) in _touched(events).items():
            before = self._orders.get(order_id)
            if order.state != RESTING:
                if before is not None:
                    changes.append(self._remove(order_id, before))
            elif before is None:
                placed[order_id] = order
            elif _lost_priority(before, order, filled):
                changes.append(self._remove(order_id, before))
                placed[order_id] = order
            elif before.qty != order.shown or before.order_qty != order.order_qty:
                changes += self._change(order, before)
        changes += [self._place(order) for order in in_queue_order(placed)]
        return changes

    def _place(self, order: Order) -> OrderChange:
        entry = ENTRY_OF[order.side]
        self._orders[order.order_id] = Shown(entry, order.price, order.shown, order.order_qty)
        self.sides[entry].add(order.price, order.shown, 1)
        return NEW, entry, order.order_id, order.price, order.shown

    def _change(self, order: Order, before: Shown) -> list[OrderChange]:
        now = before._replace(qty=order.shown, order_qty=order.order_qty)
        self._orders[order.order_id] = now
        if now.qty == before.qty:
            return []  # only what is hidden changed
        self.sides[now.entry].add(now.price, now.qty - before.qty, 0)
        return [(CHANGE, now.entry, order.order_id, now.price, now.qty)]

    def _remove(self, order_id: int, before: Shown) -> OrderChange:
        del self._orders[order_id]
        self.sides[before.entry].add(before.price, -before.qty, -1)
        return DELETE, before.entry, order_id, before.price, 0


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
