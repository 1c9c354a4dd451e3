"""Whether a subscriber keeps up with live market data: how far behind it is, how often it misses.

Pure. Lag is measured against the least lag seen, so the two clocks may differ by any constant.
A message counts as late only while more of them wait here: a publisher that is late itself makes
nobody slow; nor does one that starts again, which every topic misses at once, or by its next
heartbeat. Once slow, always slow: whoever wants to start over subscribes anew.
"""

from collections import deque
from typing import Final

from rtes.common.marketdata import HEARTBEAT_INTERVAL_NS

GAPS_MAX: Final = 3  # within GAPS_NS
GAPS_NS: Final = 10_000_000_000
BEHIND_NS_MAX: Final = 1_000_000_000


class Pace:
    """Of one subscriber, over all its books. slow says why it is; empty: it is not."""

    def __init__(self) -> None:
        self.slow = ""
        self._least_ns: int | None = None
        self._latest_ns = 0  # of the last message taken
        self._gaps = 0
        self._gap_times_ns: deque[int] = deque()

    def live(self, transact_time: int, wall_ns: int) -> None:
        """A live message was taken; its time by the exchange's clock, and ours."""
        self._latest_ns = wall_ns - transact_time
        if self._least_ns is None or self._latest_ns < self._least_ns:
            self._least_ns = self._latest_ns

    def drained(self, more_waits: bool, gaps: int, now_ns: int) -> None:
        """The queue was read, as far as one poll does. gaps: missed so far, over all books."""
        times = self._gap_times_ns
        while times and now_ns - times[0] >= GAPS_NS:
            times.popleft()
        if gaps > self._gaps and (not times or now_ns - times[-1] > HEARTBEAT_INTERVAL_NS):
            times.append(now_ns)
        self._gaps = gaps
        if self.slow:
            return
        if len(times) > GAPS_MAX:
            self.slow = f"{len(times)} gaps within {GAPS_NS // 1_000_000_000} s"
        behind_ns = self._latest_ns - (self._least_ns or 0)
        if more_waits and behind_ns > BEHIND_NS_MAX:
            self.slow = f"{behind_ns / 1e9:.1f} s behind"
