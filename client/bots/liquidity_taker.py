"""Liquidity taker: works a larger order in slices, each an IOC order at the touch.

Its sides even out: the fuller its inventory, the likelier the next order shrinks it.
"""

from collections.abc import Sequence
from typing import Final

from rtes.client.bots.desk import Desk, leaning_side
from rtes.client.bots.view import Message, Rng, View
from rtes.common.enums import Side

INVENTORY_CLIPS_MAX: Final = 60
SLICES_MAX: Final = 6
SLICE_CLIPS_MAX: Final = 3


class LiquidityTaker:
    """Works one order after the other, each in one of the symbols."""

    def __init__(self, index: int, symbols: Sequence[str]) -> None:
        self._symbols = symbols
        self._symbol = symbols[index % len(symbols)]
        self._side = Side.BUY
        self._slices_left = 0

    def on_tick(self, view: View, rng: Rng, now_ns: int) -> list[Message]:  # noqa: ARG002
        if self._slices_left == 0:
            self._symbol = self._symbols[rng.randint(0, len(self._symbols) - 1)]
            market = view.markets[self._symbol]
            full = INVENTORY_CLIPS_MAX * market.clip
            self._side = leaning_side(rng, view.position(self._symbol), full)
            self._slices_left = rng.randint(1, SLICES_MAX)
        self._slices_left -= 1
        desk = Desk(view)
        desk.take(view.markets[self._symbol], self._side, rng.randint(1, SLICE_CLIPS_MAX))
        return desk.messages
