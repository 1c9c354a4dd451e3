"""What a gateway says of itself to health."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from rtes.common.checks import Check, HealthStatus, Result, healthy_if
from rtes.common.events import Event
from rtes.common.loop import Vitals
from rtes.services.gateway.lanes import Lanes
from rtes.services.gateway.limits import STANDS_STILL, Full

QUEUE_SHARE_MANY: Final = 0.9


@dataclass
class Counts:
    """Since the start."""

    orders: int = 0
    cancels: int = 0
    busy: int = 0  # requests that were told to come again
    failed: int = 0  # requests refused because what is behind stands still: the exchange's fault
    reports: int = 0

    def refused(self, full: Full) -> None:
        """A request that was not taken. Only a lane that stands still is an error of the exchange:
        to refuse what is too much, or more than the disk holds, is how it is meant to work."""
        if full is STANDS_STILL:
            self.failed += 1
        else:
            self.busy += 1

    def counters(self) -> dict[str, float]:
        """For metrics."""
        return {
            "rtes_orders_total.taken": self.orders,
            "rtes_cancels_total": self.cancels,
            "rtes_orders_total.busy": self.busy,
            "rtes_orders_total.failed": self.failed,
            "rtes_reports_total": self.reports,
        }


@dataclass(frozen=True)
class Condition:
    """What the gateway's readiness hangs on."""

    refuses_unknown: bool
    risks_heard: int
    risks: int
    follows: bool
    read_only: Mapping[int, bool]  # by matcher shard: its disk is full
    queue_share: float  # of the lanes' windows that is taken

    def results(self) -> dict[str, Result]:
        """By the name of the check."""
        refused = "an unknown key is refused"
        full = [shard for shard, read_only in self.read_only.items() if read_only]
        busy = self.queue_share > QUEUE_SHARE_MANY
        return {
            "tcp_gateway": healthy_if(
                self.refuses_unknown,
                refused if self.refuses_unknown else f"not yet shown that {refused}",
            ),
            "risk_link": healthy_if(self.risks_heard == self.risks, f"{self.risks_heard} heard"),
            "feed": healthy_if(self.follows, "follows" if self.follows else "behind"),
            "writable": healthy_if(
                not full, f"disk full at shard {full}: only cancels" if full else "all"
            ),
            "queue_depth": Result(
                HealthStatus.DEGRADED if busy else HealthStatus.HEALTHY,
                f"{self.queue_share:.0%} of the lanes in use",
            ),
        }

    @property
    def ready(self) -> bool:
        """Orders can be taken."""
        return all(r.status is not HealthStatus.UNHEALTHY for r in self.results().values())


def health_checks(condition: Callable[[], Condition]) -> list[Check]:
    """The gateway's checks; condition() is how it is now."""
    groups = {"tcp_gateway": "network", "queue_depth": "load"}

    def check(name: str) -> Check:
        group = groups.get(name, "data")
        return Check(
            name, lambda: condition().results()[name], 0.5, critical=True, groups=(group,),
            fail_after=3 if name == "queue_depth" else 1,
        )  # fmt: skip

    return [check(name) for name in condition().results()]


def vitals(
    condition: Condition,
    counters: dict[str, float],
    gauges: dict[str, float],
    lanes: Lanes,
    events: list[Event],
) -> Vitals:
    """Readiness, figures, and what happened."""
    gauges = {**gauges, **lanes.breakers(), "rtes_queue_depth": lanes.held}
    return Vitals(condition.ready, counters, gauges, {"rtes_order_ack_seconds": lanes.took}, events)
