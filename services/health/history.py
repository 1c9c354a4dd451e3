"""The last minutes, second by second, for the page: rates, latencies, what changed. Pure.

Everything is a difference of cumulative figures, so a restart of a service shows as a gap of one
second and never as a spike.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from rtes.common.histogram import BUCKETS, quantile_s
from rtes.services.health.core import Key, Report, Snapshot
from rtes.services.health.window import increase

POINTS_MAX: Final = 300
CHANGES_MAX: Final = 40
RATES: Final = {
    "taken": "rtes_orders_total.taken",
    "busy": "rtes_orders_total.busy",
    "trades": "rtes_trades_total",
    "reports": "rtes_reports_total",
}
REFUSED: Final = "rtes_orders_rejected_total."
STAGES: Final = {
    "risk": "rtes_order_latency_seconds.risk",
    "matcher": "rtes_order_latency_seconds.matcher",
    "report": "rtes_order_ack_seconds",
}
QUANTILES: Final = (0.5, 0.99)
SMOOTHED_SECONDS: Final = 5  # services report twice a second: one second alone would jitter
Point = dict[str, Any]


class _Second:
    """What the services gained in one second."""

    def __init__(self, passed_s: float) -> None:
        self.passed_s = passed_s
        self.rates = dict.fromkeys((*RATES, "refused"), 0.0)
        self.cpu: dict[str, float] = {}
        self.counts = {stage: [0] * BUCKETS for stage in STAGES}


class History:
    """points: t (seconds since the epoch), rates by name, latency by stage as [p50, p99] in
    seconds or null, cpu by service in cores; each over the last 5 s. changes: newest first."""

    def __init__(self) -> None:
        self.points: deque[Point] = deque(maxlen=POINTS_MAX)
        self.changes: deque[dict[str, Any]] = deque(maxlen=CHANGES_MAX)
        self._seconds: deque[_Second] = deque(maxlen=SMOOTHED_SECONDS)
        self._counters: dict[tuple[Key, str], float] = {}
        self._counts: dict[tuple[Key, str], list[int]] = {}
        self._why: dict[Key, tuple[str, str]] = {}
        self._wall_s = 0.0

    def second(self, heard: Mapping[Key, Snapshot], report: Report, wall_s: float) -> None:
        """Called about once a second."""
        first, passed_s = not self._wall_s, max(0.1, wall_s - self._wall_s)
        self._wall_s = wall_s
        second = _Second(passed_s)
        for key, snapshot in heard.items():
            self._add(second, key, snapshot)
        self._note(report, wall_s)
        if not first:  # the counters of a whole life are no rate
            self._seconds.append(second)
            self.points.append({"t": round(wall_s, 1), **_point(list(self._seconds))})

    def _add(self, second: _Second, key: Key, snapshot: Snapshot) -> None:
        gained = self._gained(key, snapshot.counters)
        for name, counter in RATES.items():
            second.rates[name] += gained.get(counter, 0.0)
        second.rates["refused"] += sum(v for n, v in gained.items() if n.startswith(REFUSED))
        second.cpu[f"{key[0]} {key[1]}"] = gained.get("rtes_process_cpu_seconds_total", 0.0)
        for stage, name in STAGES.items():
            if name in snapshot.histograms:
                new = self._counted(key, name, snapshot.histograms[name][1])
                second.counts[stage] = _sum(second.counts[stage], new)

    def _gained(self, key: Key, counters: Mapping[str, float]) -> dict[str, float]:
        gained = {}
        for name, value in counters.items():
            gained[name] = increase(value, self._counters.get((key, name)))
            self._counters[key, name] = value
        return gained

    def _counted(self, key: Key, name: str, counts: list[int]) -> list[int]:
        before = self._counts.get((key, name))
        self._counts[key, name] = counts
        if before is None:
            return [0] * BUCKETS
        if sum(before) > sum(counts):
            return counts
        return [now - then for now, then in zip(counts, before, strict=True)]

    def _note(self, report: Report, wall_s: float) -> None:
        """Remember what became better or worse. The numbers in a reason change all the time: a
        change is one of status, or of the first word of why."""
        for s in report.services:
            key = s.service, s.shard
            text = "; ".join(s.why)
            now = str(s.status), text.split(" ", 1)[0]
            if self._why.get(key, ("healthy", "")) != now:
                entry = {"t": wall_s, "who": f"{s.service} {s.shard}", "status": now[0]}
                self.changes.appendleft(entry | {"text": text or "all checks pass"})
            self._why[key] = now


def _point(seconds: list[_Second]) -> Point:
    passed_s = sum(s.passed_s for s in seconds)
    latency = {}
    for stage in STAGES:
        counts = [0] * BUCKETS
        for second in seconds:
            counts = _sum(counts, second.counts[stage])
        found = [quantile_s(counts, q) for q in QUANTILES]
        latency[stage] = [None if value is None else round(value, 7) for value in found]
    newest = seconds[-1]
    cpu = {n: sum(s.cpu.get(n, 0.0) for s in seconds) for n in newest.cpu}
    rates = {n: sum(s.rates[n] for s in seconds) for n in newest.rates}
    return {
        "rates": {n: round(v / passed_s, 1) for n, v in rates.items()},
        "latency": latency,
        "cpu": {n: round(v / passed_s, 3) for n, v in cpu.items()},
    }


def _sum(one: list[int], other: list[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]
