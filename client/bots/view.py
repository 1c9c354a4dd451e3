"""What a strategy sees at a tick, and what a strategy is.

Plain data, copied by the shell from the SDK's state. Prices are ticks, quantities lots.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rtes.common.enums import Side
from rtes.common.messages import NewOrderSingle, OrderCancelReplaceRequest, OrderCancelRequest

HALF_SPREAD_PPM = 200  # of the reference price: a spread of 4 basis points
CLIP_UNITS = 10  # a small order is this many smallest orders

Message = NewOrderSingle | OrderCancelReplaceRequest | OrderCancelRequest


class Rng(Protocol):
    """What strategies use of random.Random."""

    def random(self) -> float: ...

    def randint(self, a: int, b: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Market:
    """One instrument: its reference data, the touch (0: that side is empty) and last trades."""

    symbol: str
    reference: int
    step: int = 1  # prices are multiples of it
    unit: int = 1  # the smallest order; quantities are multiples of it
    bid: int = 0
    bid_qty: int = 0
    ask: int = 0
    ask_qty: int = 0
    trades: Sequence[int] = ()  # prices, oldest first

    @property
    def half_spread(self) -> int:
        """A usual distance from fair price to quote; a multiple of step."""
        return max(self.reference * HALF_SPREAD_PPM // 1_000_000 // self.step, 1) * self.step

    @property
    def clip(self) -> int:
        """A usual small quantity."""
        return self.unit * CLIP_UNITS

    @property
    def last(self) -> int:
        """Last traded price, or the reference before the first trade."""
        return self.trades[-1] if self.trades else self.reference

    @property
    def deviation_ppm(self) -> int:
        """How far the market stands from the reference, in millionths of it."""
        middle = (self.bid + self.ask) // 2 if self.bid and self.ask else self.last
        return (middle - self.reference) * 1_000_000 // self.reference

    def touch(self, side: Side) -> tuple[int, int]:
        """Price and quantity that an order of side would meet."""
        return (self.ask, self.ask_qty) if side is Side.BUY else (self.bid, self.bid_qty)


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """One of the bot's own resting orders."""

    cl_ord_id: int
    symbol: str
    side: Side
    price: int
    leaves_qty: int
    cum_qty: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """All that a strategy may look at. Its messages take cl_ord_ids from next_id on."""

    markets: Mapping[str, Market]
    next_id: int
    orders: Sequence[OpenOrder] = ()
    positions: Mapping[str, int] = field(default_factory=dict)

    def position(self, symbol: str) -> int:
        return self.positions.get(symbol, 0)


class Strategy(Protocol):
    """A decision core. It may keep state; it may not look at anything but its arguments."""

    def on_tick(self, view: View, rng: Rng, now_ns: int) -> list[Message]:
        """The messages to send now, with cl_ord_ids view.next_id, +1, ..."""
        ...
