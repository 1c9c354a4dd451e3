"""The book of one instrument: levels by price, best first, and the stops that wait.

Prices of a side are found through a heap of keys (negated for bids, so the best is smallest);
a level that empties is dropped from the map and its key skipped when it comes up.
"""

from heapq import heappop, heappush

from rtes.common.refdata import Instrument
from rtes.services.matcher.orders import RESTING, WAITING, Level, Order

BUY = "1"


class BookSide:
    """One side. sign is -1 for bids and 1 for asks: sign * price is smallest for the best."""

    __slots__ = ("_keys", "_queued", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[int, Level] = {}
        self._keys: list[int] = []
        self._queued: set[int] = set()  # prices in _keys, so that none is there twice

    def best(self) -> Level | None:
        """The best level, or None when the side is empty."""
        keys, levels, sign = self._keys, self.levels, self.sign
        while keys:
            level = levels.get(sign * keys[0])
            if level is not None:
                return level
            self._queued.discard(sign * heappop(keys))
        return None

    def add(self, order: Order) -> None:
        """Rest order at the tail of its price."""
        level = self.levels.get(order.price)
        if level is None:
            level = self.levels[order.price] = Level(order.price)
            if order.price not in self._queued:
                self._queued.add(order.price)
                heappush(self._keys, self.sign * order.price)
        display = order.display_qty
        order.shown = order.leaves if display == 0 else min(display, order.leaves)
        order.state = RESTING
        level.append(order)

    def remove(self, order: Order) -> None:
        level = order.level
        assert level is not None
        level.unlink(order)
        if level.count == 0:
            del self.levels[level.price]

    def ordered(self) -> list[Level]:
        """All levels, best first."""
        return [self.levels[p] for p in sorted(self.levels, key=lambda p: self.sign * p)]


class Book:
    """Both sides of one instrument."""

    __slots__ = ("_stops", "asks", "bids", "halted", "instrument", "last_px", "symbol")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.bids = BookSide(-1)
        self.asks = BookSide(1)
        self.last_px = 0
        self.halted = False
        # side -> heap of (key, order_id, order); the lowest key triggers first
        self._stops: dict[str, list[tuple[int, int, Order]]] = {"1": [], "2": []}

    def side_of(self, order: Order) -> BookSide:
        return self.bids if order.side == BUY else self.asks

    def opposite(self, order: Order) -> BookSide:
        return self.asks if order.side == BUY else self.bids

    def crosses(self, order: Order, price: int) -> bool:
        """Would order at price trade with the best of the other side?"""
        best = self.opposite(order).best()
        if best is None:
            return False
        return price >= best.price if order.side == BUY else price <= best.price

    def depth(self, side: str, levels: int) -> list[tuple[int, int, int]]:
        """(price, shown quantity, orders) of the best levels of side "1" or "2"."""
        of = self.bids if side == BUY else self.asks
        return [(v.price, v.shown, v.count) for v in of.ordered()[:levels]]

    def wait(self, order: Order) -> None:
        """Queue a stop."""
        order.state = WAITING
        key = order.stop_px if order.side == BUY else -order.stop_px
        heappush(self._stops[order.side], (key, order.order_id, order))

    def triggered(self, order: Order) -> bool:
        """Does the last trade trigger this stop?"""
        if self.last_px == 0:
            return False
        return (
            self.last_px >= order.stop_px
            if order.side == BUY
            else self.last_px <= order.stop_px
        )

    def next_triggered(self) -> Order | None:
        """Take the next stop that the last trade triggers: buys first, nearest price first."""
        for side in "12":
            stops = self._stops[side]
            while stops:
                key, _, order = stops[0]
                stale = order.state != WAITING or abs(key) != order.stop_px
                if not stale and not self.triggered(order):
                    break
                heappop(stops)
                if not stale:
                    return order
        return None

    def available(self, order: Order, limit: int, enough: int) -> int:
        """Quantity that order could trade now at limit or better (0: any price), up to enough.

        What self-trade prevention would keep from trading does not count."""
        total = 0
        buy = order.side == BUY
        for level in self.opposite(order).ordered():
            if limit and (level.price > limit if buy else level.price < limit):
                break
            quantity, blocked = self._available_at(level, order)
            total += quantity
            if blocked or total >= enough:
                break
        return total

    @staticmethod
    def _available_at(level: Level, order: Order) -> tuple[int, bool]:
        """(quantity, blocked): an order of the same id stops all but cancel-oldest there."""
        total = shown = 0
        resting = level.head
        while resting is not None:
            if order.smp_id and resting.smp_id == order.smp_id:
                if order.smp_instruction != 2:
                    return shown, True  # hidden quantity would queue up behind it
            else:
                total += resting.leaves
                shown += resting.shown
            resting = resting.next
        return total, False
