"""Price-time matching: an active order against the resting ones, then what becomes of the rest.

A trade prints at the resting order's price. Self-trade prevention acts when the two would meet.
"""

from rtes.common.refusals import Code
from rtes.services.matcher.book import BUY, Book, BookSide
from rtes.services.matcher.orders import ACTIVE, CLOSED, Level, Order
from rtes.services.matcher.reporter import CANCELED, NEW, PARTIALLY_FILLED, RESTATED, Reporter

MARKET, STOP, STOP_LIMIT, MARKET_TO_LIMIT = "1", "3", "4", "K"
IOC, FOK = "3", "4"
CANCEL_NEWEST, CANCEL_OLDEST, CANCEL_BOTH = 1, 2, 3  # anything else: decrement
SMP_NEWEST, SMP_OLDEST, SMP_BOTH = 17, 18, 20


class Matching:
    """Executes orders against books; `orders` are all that are open, by order_id."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.orders: dict[int, Order] = {}
        self.match_id = 0

    def close(
        self,
        order: Order,
        exec_type: str = CANCELED,
        request_id: int = 0,
        restatement: int = 0,
        refused: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        """End an order that is not resting any more, and tell its owner."""
        order.leaves = 0
        order.shown = 0
        self._forget(order)
        self.reporter.closed(order, exec_type, request_id, restatement, refused)

    def _forget(self, order: Order) -> None:
        order.state = CLOSED
        del order.owner.orders[order.cl_ord_id]
        del self.orders[order.order_id]

    def execute(self, book: Book, order: Order) -> None:
        """Match an active order, then rest or cancel what is left."""
        order.state = ACTIVE
        market = order.ord_type in (MARKET, STOP, MARKET_TO_LIMIT)
        limit = 0 if market else order.price
        needed = order.leaves if order.time_in_force == FOK else order.min_qty
        if needed and (found := book.available(order, limit, needed)) < needed:
            self.close(order, refused=(Code.NO_LIQUIDITY.value, found, needed))
            return
        order.min_qty = 0  # satisfied by this very match
        self._match(book, order, limit)
        if order.state == CLOSED:
            return
        if order.ord_type == MARKET_TO_LIMIT and order.cum:
            order.price = book.last_px
            order.ord_type = "2"
            self.reporter.order(order, RESTATED, PARTIALLY_FILLED, order.leaves)
            market = False
        if market:
            refused = (Code.NO_LIQUIDITY.value, order.cum, order.order_qty)
            self.close(order, refused=refused)
        elif order.time_in_force in (IOC, FOK):
            self.close(order)
        else:
            book.side_of(order).add(order)

    def _match(self, book: Book, order: Order, limit: int) -> None:
        """Trade while there is something to trade with; limit 0 is any price."""
        other = book.opposite(order)
        buy = order.side == BUY
        while order.leaves:
            level = other.best()
            if level is None:
                return
            price = level.price
            if limit and (price > limit if buy else price < limit):
                return
            resting = level.head
            assert resting is not None
            if order.smp_id and resting.smp_id == order.smp_id:
                self._prevent(order, resting, other)
            else:
                self._trade(book, other, level, order, resting)
        if order.state != CLOSED:
            self._forget(order)

    def _trade(
        self, book: Book, other: BookSide, level: Level, order: Order, resting: Order
    ) -> None:
        """One trade at the level's price between order and the head of its queue."""
        qty = order.leaves if order.leaves < resting.shown else resting.shown
        order.leaves -= qty
        order.cum += qty
        resting.leaves -= qty
        resting.cum += qty
        resting.shown -= qty
        level.shown -= qty
        self.match_id = match_id = self.match_id + 1
        book.last_px = level.price
        reporter = self.reporter
        reporter.trade(order, qty, level.price, match_id, 2)
        reporter.trade(resting, qty, level.price, match_id, 1)
        if resting.leaves == 0:
            other.remove(resting)
            self._forget(resting)
        elif resting.shown == 0:  # an iceberg shows its next slice, behind the others
            level.unlink(resting)
            resting.shown = min(resting.display_qty, resting.leaves)
            level.append(resting)

    def _prevent(self, order: Order, resting: Order, other: BookSide) -> None:
        """Two orders of one self_match_prevention_id meet: the aggressor's instruction decides."""
        instruction = order.smp_instruction
        if instruction == CANCEL_NEWEST:
            self.close(order, restatement=SMP_NEWEST)
        elif instruction == CANCEL_OLDEST:
            other.remove(resting)
            self.close(resting, restatement=SMP_OLDEST)
        elif instruction == CANCEL_BOTH:
            other.remove(resting)
            self.close(resting, restatement=SMP_BOTH)
            self.close(order, restatement=SMP_BOTH)
        else:
            self._decrement(order, resting, other)

    def _decrement(self, order: Order, resting: Order, other: BookSide) -> None:
        """Both lose the smaller quantity; what reaches nothing is canceled."""
        qty = min(order.leaves, resting.leaves)
        self.reduce(resting, other, resting.order_qty - qty)
        order.order_qty -= qty
        order.leaves -= qty
        for each, restatement in ((resting, SMP_OLDEST), (order, SMP_NEWEST)):
            if each.leaves:
                status = PARTIALLY_FILLED if each.cum else NEW
                self.reporter.order(each, RESTATED, status, each.leaves)
                continue
            if each is resting:
                other.remove(resting)
            self.close(each, restatement=restatement)

    @staticmethod
    def reduce(order: Order, side: BookSide, order_qty: int) -> None:
        """Make a resting order smaller where it stands; hidden quantity goes first."""
        order.order_qty = order_qty
        order.leaves = order_qty - order.cum
        shown = min(order.shown, order.leaves)
        level = order.level
        assert level is not None and side.levels[level.price] is level  # noqa: PT018
        level.shown -= order.shown - shown
        order.shown = shown
