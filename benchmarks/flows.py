"""Five flows of commands for the matching core, each a function of its seed.

A flow knows nothing of what becomes of its orders: some cancels come too late, as they do in life.
Prices are in ticks around a center that the flow moves; every account numbers its own requests.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rtes.common.records import D_DEFAULTS, Command

ACCOUNTS: Final = 16
SYMBOLS: Final = tuple(f"SYM{i}" for i in range(8))
CENTER: Final = 100_000
LIMIT, MARKET, STOP = "2", "1", "3"
DAY, IOC, GTC = "0", "3", "1"


@dataclass(frozen=True)
class Shape:
    """Shares are of all messages, the rest are passive limit orders; distances are in ticks."""

    cancels: float
    replaces: float = 0.0
    takers: float = 0.0  # IOC or market orders, from the other side's best price inwards
    spread: int = 20  # passive orders stand up to so far from the center
    walk: int = 0  # the center moves up to so far with a message
    icebergs: float = 0.0  # of the passive orders
    stops: float = 0.0  # of the passive orders
    crash_ticks: int = 0  # how far the center falls in the middle third of the flow, and back
    resting: int = 0  # orders that stand in the books before the flow begins
    open_max: int = 4_000  # then cancels take the place of passive orders


SHAPES: Final = {
    "calm": Shape(cancels=0.42, takers=0.04, spread=10),
    "normal": Shape(cancels=0.30, replaces=0.08, takers=0.12, icebergs=0.02, stops=0.01),
    "volatile": Shape(
        cancels=0.25, replaces=0.10, takers=0.25, spread=60, walk=6, icebergs=0.05, stops=0.03
    ),
    "crash": Shape(
        cancels=0.20, replaces=0.05, takers=0.30, spread=400, crash_ticks=40_000, stops=0.05,
        open_max=20_000,
    ),
    "static": Shape(
        cancels=0.45, replaces=0.10, takers=0.01, spread=2_000, resting=120_000, open_max=250_000
    ),
}  # fmt: skip


class Flow:
    """commands() gives the next part of the flow, of `messages` in all."""

    def __init__(
        self,
        shape: Shape,
        messages: int,
        seed: int,
        accounts: int = ACCOUNTS,
        symbols: Sequence[str] = SYMBOLS,
    ) -> None:
        self._shape = shape
        self._accounts = accounts
        self._symbols = symbols
        self._messages = messages
        self._random = random.Random(seed)
        self._roll = self._random.random
        self._made = 0
        self._walked = 0.0
        self._last_ids = [0] * (accounts + 1)
        self._open: list[tuple[int, int, str, int, int]] = []  # account, id, symbol, qty, price

    def before(self) -> list[Command]:
        """The orders that rest before the flow begins."""
        return [self._passive() for _ in range(self._shape.resting)]

    def commands(self, count: int) -> list[Command]:
        shape = self._shape
        bounds = (
            shape.cancels,
            shape.cancels + shape.replaces,
            shape.cancels + shape.replaces + shape.takers,
        )
        return [self._next(bounds) for _ in range(count)]

    def _next(self, bounds: Sequence[float]) -> Command:
        self._made += 1
        roll = self._roll()
        if self._shape.walk:
            self._walked += (self._roll() - 0.5) * 2 * self._shape.walk
        if self._open and (roll < bounds[0] or len(self._open) >= self._shape.open_max):
            account, orig, symbol, _, _ = self._take_open()
            return ("F", account, 0, self._id(account), symbol, orig)
        if self._open and roll < bounds[1]:
            return self._replace()
        if roll < bounds[2]:
            return self._taker()
        return self._passive()

    def _center(self) -> int:
        """Falls in the second third and comes back in the last."""
        third = self._messages / 3
        fallen = min(max(self._made - third, 0.0), third) - max(self._made - 2 * third, 0.0)
        return CENTER + int(self._walked - self._shape.crash_ticks * fallen / third)

    def _id(self, account: int) -> int:
        self._last_ids[account] += 1
        return self._last_ids[account]

    def _take_open(self) -> tuple[int, int, str, int, int]:
        at = int(self._roll() * len(self._open))
        self._open[at], self._open[-1] = self._open[-1], self._open[at]
        return self._open.pop()

    def _replace(self) -> Command:
        """Half of them make an order smaller where it stands, the others move it."""
        account, orig, symbol, qty, price = self._take_open()
        if self._roll() < 0.5:
            qty = max(1, qty - 1)
        else:
            price += 1 if self._roll() < 0.5 else -1
        cl_ord_id = self._id(account)
        self._open.append((account, cl_ord_id, symbol, qty, price))
        return ("G", account, 0, cl_ord_id, symbol, orig, qty, price, 0)

    def _taker(self) -> Command:
        buy = self._roll() < 0.5
        center = self._center()
        if self._roll() < 0.2:
            return self._order(buy, 1 + int(self._roll() * 9), MARKET, 0, IOC)
        price = center + (8 if buy else -8)
        return self._order(buy, 1 + int(self._roll() * 30), LIMIT, price, IOC)

    def _passive(self) -> Command:
        shape, roll = self._shape, self._roll
        buy = roll() < 0.5
        distance = 1 + int(roll() * roll() * shape.spread)
        center, qty = self._center(), 1 + int(roll() * 20)
        price = center - distance if buy else center + distance
        special = roll()
        if special < shape.stops:
            stop_px = center + distance if buy else center - distance
            return self._order(buy, qty, STOP, 0, GTC, stop_px)
        display = max(1, qty // 4) if special < shape.stops + shape.icebergs else 0
        command = self._order(buy, qty, LIMIT, price, DAY, 0, display)
        self._open.append((command[1], command[3], command[4], qty, price))
        return command

    def _order(
        self, buy: bool, qty: int, kind: str, price: int, tif: str, stop_px: int = 0,
        display: int = 0,
    ) -> Command:  # fmt: skip
        account = 1 + int(self._roll() * self._accounts)
        symbol = self._symbols[int(self._roll() * len(self._symbols))]
        head = account, 0, self._id(account), symbol
        order = ("D", *head, "1" if buy else "2", qty, kind, price)
        special = tif, stop_px, "", display, 0, 0, 0, 1
        return order if special == D_DEFAULTS else (*order, *special)  # as the gateway sends it
