"""The alerts as the page shows them: those of deploy/prometheus/rules.yml, by the same names, with
the same severity, delay and runbook (a test compares). Pure.

Prometheus evaluates the rules and wakes people; this is for whoever looks at the page, with or
without one. ExchangeAbsent and OrdersSlow are not here: the page itself says when nobody answers,
and draws the latencies of five minutes.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from rtes.common.checks import HealthStatus
from rtes.services.health.core import OWN, Key, Report, Snapshot
from rtes.services.health.window import Gains

DAY_S: Final = 86_400
BANS: Final = "rtes_bans_total"
FLOOD_S: Final = 300
RESTARTS_S: Final = 900
RESTARTS_MAX: Final = 3


@dataclass
class Facts:
    """What the conditions look at; figures of silent services are left out, as in /metrics."""

    report: Report
    heard: Mapping[Key, Snapshot]
    wall_s: float
    busy: float = 0.0  # of the orders of the last minute
    bans: float = 0.0  # of the last five minutes
    restarts: Mapping[Key, int] = field(default_factory=dict)  # in the last 15 minutes

    def values(self, name: str, of: str = "") -> Iterator[tuple[str, float]]:
        """(service shard [label], value) of a gauge; of: of that service only."""
        for (service, shard), snapshot in self.heard.items():
            for full_name, value in snapshot.gauges.items():
                own, _, label = full_name.partition(".")
                if own == name and of in ("", service):
                    yield f"{service} {shard} {label}".strip(), value

    def failing(self, *checks: str) -> list[str]:
        """Whose checks of these names, or of any, are unhealthy."""
        return [
            f"{s.service} {s.shard} {name}"
            for s in self.report.services
            for name, check in (s.snapshot.checks.items() if s.snapshot else ())
            if check.status is HealthStatus.UNHEALTHY and (not checks or name in checks)
        ]


Holds = Callable[[Facts], list[str]]  # where it holds, or how much; empty: it does not


def _above(name: str, limit: float, of: str = "") -> Holds:
    return lambda facts: [f"{who}: {v:.4g}" for who, v in facts.values(name, of) if v > limit]


def _share(name: str, limit: float) -> Holds:
    return lambda facts: [f"{v:.0%}" for _, v in facts.values(name) if v > limit]


def _failing(check: str) -> Holds:
    return lambda facts: facts.failing(check)


def _deployment_failed(facts: Facts) -> list[str]:
    return ["failed"] if any(v != 1 for _, v in facts.values("rtes_deployment_status")) else []


def _deployment_stuck(facts: Facts) -> list[str]:
    since = facts.values("rtes_deployment_phase_start_timestamp_seconds")
    ages = [facts.wall_s - value for _, value in since]
    return [f"{age / 60:.0f} minutes in one phase" for age in ages if age > 3_600]


def _not_ready(facts: Facts) -> list[str]:
    ill = [s for s in facts.report.services if s.status is HealthStatus.UNHEALTHY and s.critical]
    return [] if facts.report.ready else [f"{s.service} {s.shard}" for s in ill]


def _unhealthy(facts: Facts) -> list[str]:
    services = facts.report.services
    return [f"{s.service} {s.shard}" for s in services if s.status is HealthStatus.UNHEALTHY]


def _restarting(facts: Facts) -> list[str]:
    many = ((k, n) for k, n in facts.restarts.items() if n > RESTARTS_MAX)
    return [f"{service} {shard}: {n} times" for (service, shard), n in many]


def _snapshot_stale(facts: Facts) -> list[str]:
    stale = []
    for (service, shard), snapshot in facts.heard.items():
        saver = facts.heard.get(("snapshotter", shard))
        if service == "matcher" and saver is not None:
            saved = saver.gauges.get("rtes_snapshot_sequence", 0.0)
            behind = snapshot.gauges.get("rtes_sequence", 0.0) - saved
            stale += [f"shard {shard}: {behind:.0f} commands"] if behind > 2_000_000 else []
    return stale


def _certificate(facts: Facts) -> list[str]:
    ends = facts.values("rtes_tls_cert_not_after_timestamp_seconds")
    left = [(value - facts.wall_s) / DAY_S for _, value in ends]
    return [f"{days:.1f} days left" if days > 0 else "expired" for days in left if days < 14]


class Alert(NamedTuple):
    """One alert. for_s: it fires when its condition held for so long, until then it is pending."""

    name: str
    severity: str
    for_s: int
    summary: str
    holds: Holds
    runbook: str = ""  # of that name; empty: the alert's own


CRITICAL: Final = "critical"
WARNING: Final = "warning"
ALERTS: Final = (
    Alert("DeploymentFailed", CRITICAL, 300, "The deployment failed", _deployment_failed),
    Alert("HighErrorRate", WARNING, 120, "Orders fail for the exchange's own reasons",
          _share("rtes_error_rate", 0.05)),
    Alert("DeploymentStuck", WARNING, 60, "The deployment is stuck", _deployment_stuck),
    Alert("ExchangeNotReady", CRITICAL, 30, "No orders are taken, or not all", _not_ready),
    Alert("ServiceUnhealthy", WARNING, 60, "A service is unhealthy", _unhealthy),
    Alert("HealthCheckFailing", WARNING, 120, "A check fails", lambda facts: facts.failing()),
    Alert("ServiceRestarting", WARNING, 0, "A service keeps restarting", _restarting),
    Alert("EmergencyStage", CRITICAL, 0, "Symbols take no orders",
          _above("rtes_symbols_halted", 0)),
    Alert("EmergencyThrottle", WARNING, 0, "The emergency throttles all sessions",
          _above("rtes_throttled", 0), "EmergencyStage"),
    Alert("CircuitBreakerOpen", CRITICAL, 5, "Nothing moves behind a gateway",
          _above("rtes_circuit_breaker_state", 1)),
    Alert("Overload", WARNING, 120, "Orders are told to come again",
          lambda facts: [f"{facts.busy:.0%}"] if facts.busy > 0.05 else []),
    Alert("Flood", WARNING, 0, "A participant sends far too much, or what cannot be read",
          lambda facts: [f"{facts.bans:.0f} times"] if facts.bans > 0 else []),
    Alert("JournalReadOnly", CRITICAL, 10, "The journal cannot grow",
          _above("rtes_read_only", 0)),
    Alert("DiskAlmostFull", WARNING, 300, "The journal's disk is almost full",
          lambda facts: [f"{v:.0%} free" for _, v in facts.values("rtes_disk_free_ratio")
                         if v < 0.1], "JournalReadOnly"),
    Alert("JournalDamaged", CRITICAL, 0, "The journal on disk is damaged",
          _above("rtes_journal_damaged", 0)),
    Alert("JournalLag", WARNING, 60, "The archive is behind the journal",
          _above("rtes_feed_lag", 100_000, "archive")),
    Alert("AuditUnwritable", CRITICAL, 60, "The audit log cannot be written",
          _failing("audit_log")),
    Alert("SequenceDivergence", CRITICAL, 5, "A matcher is behind what was told",
          _failing("sequence_continuity")),
    Alert("SnapshotStale", WARNING, 600, "The newest snapshot is old", _snapshot_stale),
    Alert("CertExpiresSoon", WARNING, 3_600, "The TLS certificate expires soon", _certificate),
    Alert("MemoryAlmostFull", WARNING, 120, "Memory is almost used up",
          _share("rtes_memory_ratio", 0.85)),
)  # fmt: skip


class Alerts:
    """Looks at all conditions each second; shown are those that hold, critical ones first."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[int, float]] = {}  # by name: monotonic ns, wall s
        self._bans = Gains((BANS,), FLOOD_S)
        self._starts: dict[Key, int] = {}
        self._restarts: deque[tuple[int, Key]] = deque()

    def second(
        self, heard: Mapping[Key, Snapshot], report: Report, busy: float, wall_s: float
    ) -> list[dict[str, Any]]:
        """name, severity, state (pending or firing), since (seconds since the epoch), summary,
        where and runbook of each alert whose condition holds."""
        now_ns = report.at_ns
        self._bans.second(heard)
        self._note_starts(heard, now_ns)
        restarts: dict[Key, int] = {}
        for _, key in self._restarts:
            restarts[key] = restarts.get(key, 0) + 1
        facts = Facts(report, {**heard, **_own(report)}, wall_s, busy, self._bans[BANS], restarts)
        found = [(alert, where) for alert in ALERTS if (where := alert.holds(facts))]
        before = self._since
        self._since = {a.name: before.get(a.name, (now_ns, wall_s)) for a, _ in found}
        shown = [self._shown(alert, where, now_ns) for alert, where in found]
        return sorted(shown, key=lambda a: (a["state"] != "firing", a["severity"] != CRITICAL))

    def _shown(self, alert: Alert, where: list[str], now_ns: int) -> dict[str, Any]:
        since_ns, since_s = self._since[alert.name]
        return {
            "name": alert.name,
            "severity": alert.severity,
            "state": "firing" if now_ns - since_ns >= alert.for_s * 10**9 else "pending",
            "since": round(since_s, 1),
            "for_s": alert.for_s,
            "summary": alert.summary,
            "where": ", ".join(where),
            "runbook": alert.runbook or alert.name,
        }

    def _note_starts(self, heard: Mapping[Key, Snapshot], now_ns: int) -> None:
        for key, snapshot in heard.items():
            if self._starts.setdefault(key, snapshot.start_ns) != snapshot.start_ns:
                self._starts[key] = snapshot.start_ns
                self._restarts.append((now_ns, key))
        while self._restarts and now_ns - self._restarts[0][0] > RESTARTS_S * 10**9:
            self._restarts.popleft()


def _own(report: Report) -> dict[Key, Snapshot]:
    """Health's own figures, which nobody sent it."""
    return {(OWN, s.shard): s.snapshot for s in report.services if s.snapshot and s.service == OWN}
