"""The book of one instrument: levels by price, best first, and the stops that wait.

Invariants: `ladder` holds the levels of a side that have orders, the best one last, so that what
happens near the best price moves nothing; `levels` finds the same ones by price.
"""

from bisect import bisect_left
from typing import Any

from rtes.common.refdata import Instrument
from rtes.services.matcher.orders import BUY, RESTING, Level, Order
from rtes.services.matcher.stops import Stops


class BookSide:
    """One side. sign is 1 for bids and -1 for asks: sign * price is largest for the best."""

    __slots__ = ("_keys", "ladder", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[int, Level] = {}
        self.ladder: list[Level] = []
        self._keys: list[int] = []  # sign * price, as in ladder

    def best(self) -> Level | None:
        """The best level, or None when the side is empty."""
        return self.ladder[-1] if self.ladder else None

    def add(self, order: Order) -> None:
        """Rest order at the tail of its price."""
        level = self.levels.get(order.price)
        if level is None:
            level = self._open(order.price)
        leaves = order.leaves
        display = order.display_qty
        shown = leaves if display == 0 or leaves < display else display
        order.shown = shown
        order.state = RESTING
        order.level = level
        tail = level.tail
        if tail is None:
            level.head = order
        else:
            order.prev = tail
            tail.next = order
        level.tail = order
        level.count += 1
        level.leaves += leaves
        level.shown += shown

    def _open(self, price: Any) -> Level:
        level = self.levels[price] = Level(price)
        key = self._key(price)
        at = bisect_left(self._keys, key)
        self._keys.insert(at, key)
        self.ladder.insert(at, level)
        return level

    def _key(self, price: int) -> int:
        """Larger is better."""
        return price if self.sign > 0 else -price  # compiled, a product with -1 is slow

    def remove(self, order: Order) -> None:
        level = order.level
        assert level is not None
        if level.count > 1:
            level.unlink(order)
            return
        order.level = None
        level.head = level.tail = None
        ladder = self.ladder
        if ladder[-1] is level:
            ladder.pop()
            self._keys.pop()
        else:
            at = bisect_left(self._keys, self._key(level.price))
            del self._keys[at]
            del ladder[at]
        del self.levels[order.price]

    def ordered(self) -> list[Level]:
        """All levels, best first."""
        return self.ladder[::-1]

    def reaches(self, price: int, limit: int) -> bool:
        """Is a level at price within the limit of an order of the other side? 0: any is."""
        return limit == 0 or self.sign * price >= self.sign * limit


class Book:
    """Both sides of one instrument."""

    __slots__ = (
        "asks", "bids", "buy_stops", "halted", "instrument", "last_px", "no_self_trades",
        "sell_stops", "symbol",
    )  # fmt: skip

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.bids = BookSide(1)
        self.asks = BookSide(-1)
        self.buy_stops = Stops(-1)
        self.sell_stops = Stops(1)
        self.last_px = 0  # of the last trade; 0: none yet
        self.halted = False
        self.no_self_trades = False  # the flag

    def side_of(self, order: Order) -> BookSide:
        return self.bids if order.side == BUY else self.asks

    def opposite(self, order: Order) -> BookSide:
        return self.asks if order.side == BUY else self.bids

    def stops_of(self, order: Order) -> Stops:
        return self.buy_stops if order.side == BUY else self.sell_stops

    def depth(self, side: str, levels: int) -> list[tuple[int, int, int]]:
        """(price, shown quantity, orders) of the best levels of side "1" or "2"."""
        ladder = self.bids.ladder if side == BUY else self.asks.ladder
        best = ladder[-levels:]
        best.reverse()
        return [(level.price, level.shown, level.count) for level in best]

    def take_triggered(self) -> Order | None:
        """Remove and return the next stop that the last trade triggers: buys first."""
        return self.buy_stops.take_triggered(self.last_px) or self.sell_stops.take_triggered(
            self.last_px
        )
