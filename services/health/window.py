"""What counters say about the last minute: differences that survive restarts. Pure.

A counter that went back belongs to a process that started again: what it shows is new. The sum
over services is taken of differences, so a restart never looks like negative traffic.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final

from rtes.services.health.core import Key, Snapshot

WINDOW_S: Final = 60
ORDERS_MIN: Final = 20  # fewer orders in the window say nothing about a rate
FAILED: Final = ("rtes_orders_total.busy", "rtes_orders_failed_total")
ORDERS: Final = ("rtes_orders_total.taken", "rtes_orders_total.busy")


def increase(now: float, before: float | None) -> float:
    """What a counter gained since before; all of it when it is new or started again."""
    return now if before is None or now < before else now - before


class ErrorRate:
    """The share of orders in the last minute that failed for the exchange's own reasons.

    Refusals for a participant's reasons (limits, prices, halts) are not errors."""

    def __init__(self) -> None:
        self._last: dict[tuple[Key, str], float] = {}
        self._seconds: deque[tuple[float, float]] = deque(maxlen=WINDOW_S)

    def second(self, heard: Mapping[Key, Snapshot]) -> None:
        """Called once a second with what the services say."""
        totals = {"failed": 0.0, "orders": 0.0}
        for key, snapshot in heard.items():
            for kind, names in (("failed", FAILED), ("orders", ORDERS)):
                for name in names:
                    totals[kind] += self._gained(key, kind + name, snapshot.counters.get(name))
        self._seconds.append((totals["failed"], totals["orders"]))

    def _gained(self, key: Key, name: str, value: float | None) -> float:
        if value is None:
            return 0.0
        before = self._last.get((key, name))
        self._last[key, name] = value
        # what a service counted before this process listened is not of the last minute
        return 0.0 if before is None and not self._seconds else increase(value, before)

    @property
    def ratio(self) -> float:
        """0 to 1; 0 when there were too few orders to tell."""
        failed = sum(f for f, _ in self._seconds)
        orders = sum(o for _, o in self._seconds)
        return min(1.0, failed / orders) if orders >= ORDERS_MIN else 0.0
