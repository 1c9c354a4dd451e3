"""Noise: small orders of no intention; market, IOC and a few that rest and are cancelled.

At most RESTING_MAX orders rest at a time, all within a few spreads of the last trade.
"""

from collections.abc import Sequence
from typing import Final

from rtes.client.bots.desk import Desk, leaning_side
from rtes.client.bots.view import Market, Message, Rng, View
from rtes.common.enums import Side

RESTING_MAX: Final = 4
INVENTORY_CLIPS_MAX: Final = 30
MARKET_SHARE: Final = 0.25
IOC_SHARE: Final = 0.35
AWAY_HALF_SPREADS_MAX: Final = 5


class Noise:
    """Any of the symbols, by chance."""

    def __init__(self, index: int, symbols: Sequence[str]) -> None:
        first = index % len(symbols)
        self._symbols = [*symbols[first:], *symbols[:first]]

    def on_tick(self, view: View, rng: Rng, now_ns: int) -> list[Message]:  # noqa: ARG002
        market = view.markets[self._symbols[rng.randint(0, len(self._symbols) - 1)]]
        full = INVENTORY_CLIPS_MAX * market.clip
        side = leaning_side(rng, view.position(market.symbol), full)
        qty = market.unit * rng.randint(1, 10)
        choice = rng.random()
        desk = Desk(view)
        if choice < MARKET_SHARE:
            if market.touch(side)[0]:
                desk.market(market.symbol, side, qty)
        elif choice < MARKET_SHARE + IOC_SHARE:
            desk.take(market, side, 1)
        elif len(view.orders) < RESTING_MAX:
            desk.limit(market.symbol, side, qty, _resting_price(market, side, rng))
        else:
            desk.cancel(min(view.orders, key=lambda o: o.cl_ord_id))
        return desk.messages


def _resting_price(market: Market, side: Side, rng: Rng) -> int:
    """Some half spreads behind the last trade, a multiple of the step."""
    distance = market.half_spread * rng.randint(1, AWAY_HALF_SPREADS_MAX)
    price = market.last - distance if side is Side.BUY else market.last + distance
    return max(price // market.step, 1) * market.step
