"""Builds the messages of one tick, and the sides and sizes that keep inventories bounded.

Messages take consecutive cl_ord_ids from the view's next_id on.
"""

from rtes.client.bots.view import Market, Message, OpenOrder, Rng, View
from rtes.common.enums import OrdType, Side, TimeInForce
from rtes.common.messages import NewOrderSingle, OrderCancelReplaceRequest, OrderCancelRequest

LEAN = 0.4  # how strongly a full inventory tilts the choice of side away from even


def opposite(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY


def would_reduce(side: Side, position: int) -> bool:
    return position < 0 if side is Side.BUY else position > 0


def leaning_side(rng: Rng, position: int, position_max: int) -> Side:
    """Either side by chance, more likely the one that shrinks the position; beyond the maximum
    always that one."""
    fullness = position / position_max
    if abs(fullness) >= 1:
        return Side.SELL if position > 0 else Side.BUY
    return Side.BUY if rng.random() < 0.5 - LEAN * fullness else Side.SELL


class Desk:
    """Collects the messages of one tick."""

    def __init__(self, view: View) -> None:
        self.messages: list[Message] = []
        self._next_id = view.next_id

    def limit(
        self, symbol: str, side: Side, qty: int, price: int, tif: TimeInForce = TimeInForce.DAY
    ) -> None:
        order = NewOrderSingle(self._id(), symbol, side, qty, OrdType.LIMIT, price, tif)
        self.messages.append(order)

    def market(self, symbol: str, side: Side, qty: int) -> None:
        tif = TimeInForce.IOC
        order = NewOrderSingle(self._id(), symbol, side, qty, OrdType.MARKET, 0, tif)
        self.messages.append(order)

    def take(self, market: Market, side: Side, clips: int) -> None:
        """An IOC order of at most that many clips at the touch; nothing when none is shown."""
        price, shown = market.touch(side)
        qty = min(shown, market.clip * clips) // market.unit * market.unit
        if price and qty:
            self.limit(market.symbol, side, qty, price, TimeInForce.IOC)

    def replace(self, order: OpenOrder, qty: int, price: int) -> None:
        """Move the order to price with qty left to trade."""
        total = order.cum_qty + qty
        request = OrderCancelReplaceRequest(self._id(), order.symbol, order.cl_ord_id, total, price)
        self.messages.append(request)

    def cancel(self, order: OpenOrder) -> None:
        self.messages.append(OrderCancelRequest(self._id(), order.symbol, order.cl_ord_id))

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id - 1
