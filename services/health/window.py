"""What counters say about the last while: differences that survive restarts. Pure.

A counter that went back belongs to a process that started again: what it shows is new. The sum
over services is taken of differences, so a restart never looks like negative traffic.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final

from rtes.services.health.core import Key, Snapshot

WINDOW_S: Final = 60
ORDERS_MIN: Final = 20  # fewer orders in the window say nothing about a rate
TAKEN: Final = "rtes_orders_total.taken"
BUSY: Final = "rtes_orders_total.busy"
FAILED: Final = "rtes_orders_total.failed"


def increase(now: float, before: float | None) -> float:
    """What a counter gained since before; all of it when it started again, and nothing when it is
    seen first: who listens anew hears of services one after the other, and of their whole lives."""
    if before is None:
        return 0.0
    return now if now < before else now - before


class Gains:
    """What counters gained in the last seconds, over all services."""

    def __init__(self, names: tuple[str, ...], seconds: int) -> None:
        self._last: dict[tuple[Key, str], float] = {}
        self._seconds: deque[dict[str, float]] = deque(maxlen=seconds)
        self._names = names

    def second(self, heard: Mapping[Key, Snapshot]) -> None:
        """Called once a second with what the services say."""
        gained = dict.fromkeys(self._names, 0.0)
        for key, snapshot in heard.items():
            for name in self._names:
                gained[name] += self._gained(key, name, snapshot.counters.get(name))
        self._seconds.append(gained)

    def _gained(self, key: Key, name: str, value: float | None) -> float:
        if value is None:
            return 0.0
        before = self._last.get((key, name))
        self._last[key, name] = value
        return increase(value, before)

    def __getitem__(self, name: str) -> float:
        return sum(gained[name] for gained in self._seconds)


class Orders:
    """What became of the orders of the last minute at the gateways, as shares from 0 to 1; 0 when
    there were too few orders to tell."""

    def __init__(self) -> None:
        self._gains = Gains((TAKEN, BUSY, FAILED), WINDOW_S)

    def second(self, heard: Mapping[Key, Snapshot]) -> None:
        """Called once a second with what the services say."""
        self._gains.second(heard)

    @property
    def errors(self) -> float:
        """Refused because the exchange does not work. What was too much (busy) is no error, nor
        is a refusal for a participant's reasons: limits, prices, halts."""
        return self._share(FAILED)

    @property
    def busy(self) -> float:
        """Told to come again: more than the exchange, or one session, may have under way."""
        return self._share(BUSY)

    def _share(self, name: str) -> float:
        total = sum(self._gains[n] for n in (TAKEN, BUSY, FAILED))
        return self._gains[name] / total if total >= ORDERS_MIN else 0.0
