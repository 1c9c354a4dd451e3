"""What a gateway says of itself to health."""

from dataclasses import dataclass
from typing import Any

from rtes.common.loop import Vitals


@dataclass
class Counts:
    """Since the start."""

    orders: int = 0
    cancels: int = 0
    busy: int = 0  # requests that were told to come again
    reports: int = 0
    floods: int = 0  # sessions closed for staying over their rate

    def counters(self) -> dict[str, float]:
        """For metrics."""
        return {
            "rtes_orders_total": self.orders,
            "rtes_cancels_total": self.cancels,
            "rtes_busy_total": self.busy,
            "rtes_reports_total": self.reports,
            "rtes_floods_total": self.floods,
        }


def vitals(
    refuses_unknown: bool,
    risks_heard: int,
    risks: int,
    follows: bool,
    read_only: list[int],
    counters: dict[str, float],
    gauges: dict[str, float],
) -> Vitals:
    """read_only: matcher shards with a full disk. Ready only when orders can be taken."""
    refused = "an unknown key is refused"
    checks: dict[str, dict[str, Any]] = {
        "tcp_gateway": {
            "ok": refuses_unknown,
            "detail": refused if refuses_unknown else f"not yet shown that {refused}",
        },
        "risk_link": {"ok": risks_heard == risks, "detail": f"{risks_heard} heard"},
        "feed": {"ok": follows, "detail": "follows" if follows else "behind"},
        "writable": {
            "ok": not read_only,
            "detail": f"disk full at shard {read_only}: only cancels" if read_only else "all",
        },
    }
    return Vitals(all(c["ok"] for c in checks.values()), checks, counters, gauges)
