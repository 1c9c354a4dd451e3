"""Momentum: buys what has risen and sells what has fallen over the last trades.

Goes home flat: without a trend it shrinks its position. Leaves a trend alone that has run far
from the reference, so that it does not push the market into the price band.
"""

from collections.abc import Sequence
from typing import Final

from rtes.client.bots.desk import Desk
from rtes.client.bots.view import Market, Message, Rng, View
from rtes.common.enums import Side

LOOK_BACK_TRADES: Final = 10
TREND_HALF_SPREADS: Final = 2
INVENTORY_CLIPS_MAX: Final = 40
EXHAUSTED_PPM: Final = 20_000  # from the reference, in the direction of the trend
SLICE_CLIPS_MAX: Final = 2


class Momentum:
    """Looks at each of the symbols in turn."""

    def __init__(self, index: int, symbols: Sequence[str]) -> None:
        self._symbols = symbols
        self._turn = index

    def on_tick(self, view: View, rng: Rng, now_ns: int) -> list[Message]:  # noqa: ARG002
        market = view.markets[self._symbols[self._turn % len(self._symbols)]]
        self._turn += 1
        clips = rng.randint(1, SLICE_CLIPS_MAX)
        position = view.position(market.symbol)
        side = _side(market, position, _trend(market))
        desk = Desk(view)
        if side is not None:
            desk.take(market, side, clips)
        return desk.messages


def _trend(market: Market) -> int:
    """1 rising, -1 falling, 0 neither."""
    recent = market.trades[-LOOK_BACK_TRADES:]
    if len(recent) < LOOK_BACK_TRADES:
        return 0
    move = recent[-1] - recent[0]
    if abs(move) < TREND_HALF_SPREADS * market.half_spread:
        return 0
    trend = 1 if move > 0 else -1
    return 0 if market.deviation_ppm * trend > EXHAUSTED_PPM else trend


def _side(market: Market, position: int, trend: int) -> Side | None:
    full = INVENTORY_CLIPS_MAX * market.clip
    if trend and position * trend < full:
        return Side.BUY if trend > 0 else Side.SELL
    if position and not trend:
        return Side.SELL if position > 0 else Side.BUY
    return None
