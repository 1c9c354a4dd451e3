"""Price-time matching: an active order against the resting ones, then what becomes of the rest.

Invariants: a trade prints at the resting order's price; self-trade prevention acts when the two
would meet; what a market order leaves never rests.
"""

from typing import Any, Final

from rtes.common.enums import Restatement
from rtes.common.refusals import Code
from rtes.services.matcher.book import Book, BookSide
from rtes.services.matcher.liquidity import CANCEL_BOTH, CANCEL_NEWEST, CANCEL_OLDEST, available
from rtes.services.matcher.orders import ACTIVE, BUY, CLOSED, Level, Order
from rtes.services.matcher.reporter import ADDED, CANCELED, NOT_REFUSED, REMOVED, Refused, Reporter

MARKET: Final = "1"
LIMIT: Final = "2"
STOP: Final = "3"
STOP_LIMIT: Final = "4"
MARKET_TO_LIMIT: Final = "K"
IOC: Final = "3"
FOK: Final = "4"
SMP_NEWEST: Final = int(Restatement.SMP_NEWEST)
SMP_OLDEST: Final = int(Restatement.SMP_OLDEST)
SMP_BOTH: Final = int(Restatement.SMP_BOTH)
NO_LIQUIDITY: Final = int(Code.NO_LIQUIDITY)


class Matching:
    """Executes orders against books."""

    __slots__ = ("match_id", "reporter")

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.match_id = 0

    def close(
        self,
        order: Order,
        exec_type: str = CANCELED,
        restatement: int = 0,
        refused: Refused = NOT_REFUSED,
    ) -> None:
        """End an order that is in no queue any more, and tell its owner."""
        order.leaves = 0
        order.shown = 0
        forget(order)
        self.reporter.closed(order, exec_type, restatement, refused)

    def execute(self, book: Book, order: Order) -> None:
        """Match an active order, then rest or cancel what is left."""
        order.state = ACTIVE
        kind = order.ord_type
        tif = order.time_in_force
        # one comparison each, for a tuple of them is slower; MARKET_TO_LIMIT until it rests
        market = kind != LIMIT and kind != STOP_LIMIT  # noqa: PLR1714
        limit = 0 if market else order.price
        buy = order.side == BUY
        other = book.asks if buy else book.bids
        needed = order.leaves if tif == FOK else order.min_qty
        if needed:
            found = available(other, order, limit, needed)
            if found < needed:
                self.close(order, CANCELED, 0, (NO_LIQUIDITY, found, needed))
                return
            order.min_qty = 0  # satisfied by this very match
        if other.ladder:
            self._match(book, other, order, limit)
            if order.state == CLOSED:
                return
        if tif == IOC or tif == FOK:  # noqa: PLR1714, SIM109 - faster compiled
            refused = (NO_LIQUIDITY, order.cum, order.order_qty) if market else NOT_REFUSED
            self.close(order, CANCELED, 0, refused)
            return
        if market:
            if kind != MARKET_TO_LIMIT or order.cum == 0:
                refused = (NO_LIQUIDITY, order.cum, order.order_qty)
                self.close(order, CANCELED, 0, refused)
                return
            order.ord_type = LIMIT
            order.price = book.last_px
            self.reporter.restated(order, 0)
        (book.bids if buy else book.asks).add(order)

    def _match(self, book: Book, other: BookSide, order: Order, limit: int) -> None:
        """Trade while there is something to trade with; limit 0 is any price."""
        ladder = other.ladder
        smp_id = order.smp_id
        buys = other.sign < 0
        while ladder and order.leaves:
            level = ladder[-1]
            if limit and (level.price > limit if buys else level.price < limit):
                return
            resting = level.head
            assert resting is not None
            if smp_id and resting.smp_id == smp_id:
                self._prevent(order, resting, other)
            else:
                self._trade(book, other, level, order, resting)
        if order.leaves == 0 and order.state != CLOSED:
            forget(order)

    def _trade(
        self, book: Book, other: BookSide, level: Level, order: Order, resting: Order
    ) -> None:
        """One trade at the level's price between order and the head of its queue."""
        price = level.price
        qty = order.leaves if order.leaves < resting.shown else resting.shown
        order.leaves -= qty
        order.cum += qty
        resting.leaves -= qty
        resting.cum += qty
        resting.shown -= qty
        level.leaves -= qty
        level.shown -= qty
        self.match_id += 1
        book.last_px = price
        last_qty: Any = qty  # as objects, made once for all that is told
        last_px: Any = price
        match_id: Any = self.match_id
        reporter = self.reporter
        reporter.trade(order, last_qty, last_px, match_id, REMOVED)
        reporter.trade(resting, last_qty, last_px, match_id, ADDED)
        if resting.leaves == 0:
            other.remove(resting)
            forget(resting)
        elif resting.shown == 0:  # an iceberg shows its next slice, behind the others
            level.unlink(resting)
            resting.shown = min(resting.display_qty, resting.leaves)
            level.append(resting)

    def _prevent(self, order: Order, resting: Order, other: BookSide) -> None:
        """Two orders of one self_match_prevention_id meet: the aggressor's instruction decides."""
        instruction = order.smp_instruction
        if instruction == CANCEL_NEWEST:
            self.close(order, CANCELED, SMP_NEWEST)
        elif instruction == CANCEL_OLDEST:
            other.remove(resting)
            self.close(resting, CANCELED, SMP_OLDEST)
        elif instruction == CANCEL_BOTH:
            other.remove(resting)
            self.close(resting, CANCELED, SMP_BOTH)
            self.close(order, CANCELED, SMP_BOTH)
        else:
            self._decrement(order, resting, other)

    def _decrement(self, order: Order, resting: Order, other: BookSide) -> None:
        """Both lose the smaller quantity; what reaches nothing is canceled."""
        qty = min(order.leaves, resting.leaves)
        reduce(resting, resting.order_qty - qty)
        order.order_qty -= qty
        order.leaves -= qty
        if resting.leaves == 0:
            other.remove(resting)
            self.close(resting, CANCELED, SMP_OLDEST)
        else:
            self.reporter.restated(resting, SMP_OLDEST)
        if order.leaves == 0:
            self.close(order, CANCELED, SMP_NEWEST)
        else:
            self.reporter.restated(order, SMP_NEWEST)


def forget(order: Order) -> None:
    """It is in no queue any more, and its owner knows."""
    order.state = CLOSED
    del order.owner.orders[order.cl_ord_id]


def reduce(order: Order, order_qty: int) -> None:
    """Make a resting order smaller where it stands; hidden quantity goes first."""
    level = order.level
    assert level is not None
    order.order_qty = order_qty
    leaves = order_qty - order.cum
    shown = min(order.shown, leaves)
    level.leaves -= order.leaves - leaves
    level.shown -= order.shown - shown
    order.leaves = leaves
    order.shown = shown
