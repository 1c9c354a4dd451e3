"""The stops of one side that wait for the last trade to reach them.

Invariants: the next to trigger is the last of the list: nearest price first, then the earlier
order; a stop that is canceled or replaced leaves at once, so the list holds open orders only.
"""

from bisect import bisect_left, insort

from rtes.services.matcher.orders import BUY, WAITING, Order


class Stops:
    """sign is -1 for buys, which a rising price triggers lowest first, and 1 for sells."""

    __slots__ = ("_keys", "_orders", "_sign")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._keys: list[tuple[int, int]] = []
        self._orders: dict[int, Order] = {}

    def _key(self, order: Order) -> tuple[int, int]:
        return self._sign * order.stop_px, -order.order_id

    def add(self, order: Order) -> None:
        order.state = WAITING
        insort(self._keys, self._key(order))
        self._orders[order.order_id] = order

    def remove(self, order: Order) -> None:
        """The order's stop_px must be as it was when added."""
        del self._keys[bisect_left(self._keys, self._key(order))]
        del self._orders[order.order_id]

    def take_triggered(self, last_px: int) -> Order | None:
        """Remove and return the next stop that last_px triggers."""
        if not self._keys:
            return None
        order = self._orders[-self._keys[-1][1]]
        if not triggers(order, last_px):
            return None
        self._keys.pop()
        return self._orders.pop(order.order_id)

    def waiting(self) -> list[Order]:
        """All, the next to trigger first."""
        return [self._orders[-key[1]] for key in reversed(self._keys)]


def triggers(order: Order, last_px: int) -> bool:
    """Does a last trade at last_px (0: none yet) trigger this stop?"""
    if last_px == 0:
        return False
    return last_px >= order.stop_px if order.side == BUY else last_px <= order.stop_px
