"""Health's aggregator without its process, driven by a test until a check says something."""

import time

from rtes.common.clock import Clock
from rtes.services.health.shell import Aggregator

PATIENCE_S = 60.0


class Ahead(Clock):
    """A clock that a test sets ahead."""

    ahead_ns = 0

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.ahead_ns


def poll_until(aggregator: Aggregator, check: str, detail: str) -> None:
    """Poll as health does, until that check of its own says detail."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        aggregator.poll([])
        own = aggregator.report().services[-1].snapshot
        assert own is not None
        said = own.checks[check].detail
        if said == detail:
            return
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
