"""Arbitrage: two instruments that should move together, measured against their references.

When one stands dearer than the other by more than the threshold it sells the dear one and buys
the cheap one, in equal value; when they have come together again it unwinds. So the instruments
pull each other, and a lone one is pulled back to its reference.
"""

from collections.abc import Sequence
from typing import Final

from rtes.client.bots.desk import Desk, would_reduce
from rtes.client.bots.view import Market, Message, Rng, View
from rtes.common.enums import Side

THRESHOLD_PPM: Final = 1_500
INVENTORY_CLIPS_MAX: Final = 40
SLICE_CLIPS_MAX: Final = 2


class Arbitrage:
    """Watches the pairs of neighbours in symbols, one pair a tick."""

    def __init__(self, index: int, symbols: Sequence[str]) -> None:
        self._symbols = symbols
        self._turn = index

    def on_tick(self, view: View, rng: Rng, now_ns: int) -> list[Message]:  # noqa: ARG002
        count = len(self._symbols)
        first = view.markets[self._symbols[self._turn % count]]
        second = view.markets[self._symbols[(self._turn + 1) % count]]
        self._turn += 1
        clips = rng.randint(1, SLICE_CLIPS_MAX)
        gap_ppm = first.deviation_ppm - (second.deviation_ppm if count > 1 else 0)
        desk = Desk(view)
        for market, dearness_ppm in ((first, gap_ppm), (second, -gap_ppm))[:count]:
            side = _side(market, view.position(market.symbol), dearness_ppm)
            if side is not None:
                desk.take(market, side, clips)
        return desk.messages


def _side(market: Market, position: int, dearness_ppm: int) -> Side | None:
    """What to do with one leg that is dearer than the other by dearness_ppm."""
    if abs(dearness_ppm) > THRESHOLD_PPM:
        side = Side.SELL if dearness_ppm > 0 else Side.BUY
        has_room = abs(position) < INVENTORY_CLIPS_MAX * market.clip
        return side if has_room or would_reduce(side, position) else None
    if abs(dearness_ppm) < THRESHOLD_PPM // 3 and position:
        return Side.SELL if position > 0 else Side.BUY
    return None
