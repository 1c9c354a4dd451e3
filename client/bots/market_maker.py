"""Market maker: quotes several levels on both sides around a fair price, one symbol a tick.

The fair price is the last trade, pulled to the reference, moved by a private opinion and skewed
against the inventory. It never leaves 8 % of the reference, so the price band never stops it. At
most LEVELS orders a side rest; one near its place is left alone, another is replaced.
"""

from collections.abc import Sequence
from typing import Final

from rtes.client.bots.desk import Desk
from rtes.client.bots.view import Market, Message, OpenOrder, Rng, View
from rtes.common.enums import Side

LEVELS: Final = 3
INVENTORY_CLIPS_MAX: Final = 100
PULL: Final = 0.01  # of the distance to the reference, at each quote
SKEW_HALF_SPREADS: Final = 3  # at a full inventory
AWAY_MAX: Final = 0.08  # of the reference


class MarketMaker:
    """Quotes each of symbols in turn, starting with a different one for each index."""

    def __init__(self, index: int, symbols: Sequence[str]) -> None:
        self._symbols = symbols
        self._turn = index

    def on_tick(self, view: View, rng: Rng, now_ns: int) -> list[Message]:  # noqa: ARG002
        symbol = self._symbols[self._turn % len(self._symbols)]
        self._turn += 1
        market = view.markets[symbol]
        position = view.position(symbol)
        fair = fair_price(market, position, rng.random())
        full = INVENTORY_CLIPS_MAX * market.clip
        bids = quote_prices(market, Side.BUY, fair) if position < full else []
        asks = quote_prices(market, Side.SELL, fair) if position > -full else []
        desk = Desk(view)
        quotes = [(Side.BUY, bids), (Side.SELL, asks)]
        if any(price >= own.price for price in bids[:1] for own in _own(view, symbol, Side.SELL)):
            quotes.reverse()  # the asks make way first, or the bids would trade with them
        for side, targets in quotes:
            _quote(desk, market, side, _own(view, symbol, side), targets, rng)
        return desk.messages


def fair_price(market: Market, position: int, opinion: float) -> float:
    """Where to quote around, in ticks; opinion in [0, 1) is this maker's own view."""
    fair = market.last + (market.reference - market.last) * PULL
    fair += (opinion - 0.5) * market.half_spread
    fullness = position / (INVENTORY_CLIPS_MAX * market.clip)
    fair -= fullness * SKEW_HALF_SPREADS * market.half_spread
    away = market.reference * AWAY_MAX
    return min(max(fair, market.reference - away), market.reference + away)


def quote_prices(market: Market, side: Side, fair: float) -> list[int]:
    """The prices of the levels, best first, multiples of the step and never below one step."""
    prices = []
    for level in range(1, LEVELS + 1):
        distance = market.half_spread * level
        steps = (fair - distance if side is Side.BUY else fair + distance) / market.step
        whole = int(steps) if side is Side.BUY else -int(-steps // 1)
        prices.append(max(whole, 1) * market.step)
    return prices


def _own(view: View, symbol: str, side: Side) -> list[OpenOrder]:
    """The own orders of a side, best price first."""
    own = [o for o in view.orders if o.symbol == symbol and o.side is side]
    return sorted(own, key=lambda o: (-o.price if side is Side.BUY else o.price, o.cl_ord_id))


def _quote(
    desk: Desk,
    market: Market,
    side: Side,
    own: list[OpenOrder],
    targets: list[int],
    rng: Rng,
) -> None:
    """Make the own orders of a side stand at the targets."""
    for level, price in enumerate(targets):
        qty = market.clip * rng.randint(level + 1, 2 * level + 3)
        if level >= len(own):
            desk.limit(market.symbol, side, qty, price)
        elif _misplaced(own[level], price, market):
            desk.replace(own[level], qty, price)
    for order in own[len(targets) :]:
        desk.cancel(order)


def _misplaced(order: OpenOrder, price: int, market: Market) -> bool:
    return abs(order.price - price) * 2 > market.half_spread or order.leaves_qty < market.clip
