"""Circuit breaker of one lane: no orders for a downstream that stands still. Pure.

It opens when commands have waited for OPEN_AFTER_NS without any of the lane being acknowledged,
and half-opens at the first acknowledgement: what was taken before, and cancels, which always
pass, are what probes an open lane. Half-open it takes a few orders per step; it closes once all
that waited then is acknowledged. Time in which the gateway itself stood still does not count.
"""

from enum import IntEnum
from typing import Final

OPEN_AFTER_NS: Final = 3_000_000_000  # longer than a restart under supervisord mostly takes
STEP_NS_MAX: Final = 200_000_000  # a longer step is the gateway's own fault
PROBES: Final = 10  # orders in each step while half-open


class State(IntEnum):
    """As rtes_circuit_breaker_state says it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Step it regularly; while it is not closed, ask it before each order."""

    __slots__ = ("_acked", "_probes", "_stepped_ns", "_still_ns", "_target", "state")

    def __init__(self) -> None:
        self.state = State.CLOSED
        self._acked = 0
        self._still_ns = 0  # for so long something has waited and nothing moved
        self._stepped_ns = 0
        self._target = 0  # acknowledgements at which it closes
        self._probes = 0

    def step(self, now_ns: int, acked: int, waiting: int) -> State:
        """acked: commands of the lane acknowledged since the start; waiting: those that are not."""
        if self._stepped_ns:
            self._still_ns += min(now_ns - self._stepped_ns, STEP_NS_MAX)
        self._stepped_ns = now_ns
        if acked != self._acked or not waiting:
            self._acked, self._still_ns = acked, 0
        if self._still_ns >= OPEN_AFTER_NS:
            self.state = State.OPEN
        elif self.state is State.OPEN:
            if not self._still_ns:
                self.state = State.HALF_OPEN
                self._target = acked + waiting
        elif self.state is State.HALF_OPEN and (acked >= self._target or not waiting):
            self.state = State.CLOSED
        self._probes = PROBES if self.state is State.HALF_OPEN else 0
        return self.state

    def admits(self) -> bool:
        """Whether one more order may pass, while it is not closed."""
        self._probes -= 1
        return self._probes >= 0
