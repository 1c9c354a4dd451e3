"""The page's alerts are those of Prometheus' rules, and hold when they should."""

import re
from typing import Any

import pytest
from rtes.common.checks import HealthStatus
from rtes.services.health.alerts import ALERTS, Alerts
from rtes.services.health.core import Health, Reading, Snapshot

from tests.unit.test_health_rules import ALERTS as RULES

S = 1_000_000_000
NOT_ON_THE_PAGE = {"ExchangeAbsent", "OrdersSlow"}  # see alerts.py
UNITS = {"s": 1, "m": 60, "h": 3_600}


def delay_s(rule: str) -> int:
    found = re.search(r"\n +for: (\d+)([smh])\n", rule)
    return int(found.group(1)) * UNITS[found.group(2)] if found else 0


def test_they_are_those_of_the_rules() -> None:
    assert {a.name for a in ALERTS} == set(RULES) - NOT_ON_THE_PAGE
    assert set(RULES) >= NOT_ON_THE_PAGE


@pytest.mark.parametrize("alert", ALERTS, ids=lambda a: a.name)
def test_severity_delay_runbook_and_limit_are_the_rules(alert: Any) -> None:
    rule = RULES[alert.name]
    assert f"severity: {alert.severity}\n" in rule
    assert delay_s(rule) == alert.for_s
    assert f"runbook_url: docs/runbooks/{alert.runbook or alert.name}.md" in rule


OWN = Snapshot("health", 0, 1, 0, True)
EXPECTED = {("matcher", 0): True, ("gateway", 0): True, ("snapshotter", 0): False}
FAILED = Reading(HealthStatus.UNHEALTHY, "why", False, ())


class Page:
    """Health and the page's alerts, second by second."""

    def __init__(self) -> None:
        self.health, self.alerts, self.now_s = Health(EXPECTED), Alerts(), 0

    def second(
        self, busy: float = 0.0, own: Snapshot = OWN, silent: str = "", **more: Any
    ) -> list[dict[str, Any]]:
        """more: a service's name and what differs in its snapshot."""
        self.now_s += 1
        now_ns = self.now_s * S
        heard = {}
        for key in EXPECTED:
            if key[0] != silent:
                fields = {"ready": True, "start_ns": 0, **more.get(key[0], {})}
                heard[key] = Snapshot(*key, 7, **fields)
        self.health._heard.update({k: (now_ns, s) for k, s in heard.items()})
        report = self.health.report(now_ns, own)
        return self.alerts.second(heard, report, busy, 1_700_000_000.0 + self.now_s)

    def names(self, **more: Any) -> set[str]:
        return {a["name"] for a in self.second(**more)}


def test_a_healthy_exchange_has_none() -> None:
    page = Page()
    assert [page.names() for _ in range(5)] == [set()] * 5


def test_an_alert_is_pending_for_its_time_and_starts_anew_after_it_did_not_hold() -> None:
    page = Page()
    page.second()
    states = [page.second(silent="snapshotter") for _ in range(64)]
    (first,) = states[2]
    assert first["name"] == "ServiceUnhealthy"
    assert first["where"] == "snapshotter 0"
    assert first["runbook"] == "ServiceUnhealthy"
    assert [s[0]["state"] for s in states[60:62]] == ["pending", "firing"]
    assert page.names() == set()
    page.second(silent="snapshotter")
    assert page.second(silent="snapshotter")[0]["state"] == "pending"


def test_critical_ones_come_first() -> None:
    page = Page()
    gauges = {"gauges": {"rtes_throttled": 1.0}}
    found = page.second(gateway=gauges, matcher={"gauges": {"rtes_symbols_halted": 2.0}})
    assert [a["name"] for a in found] == ["EmergencyStage", "EmergencyThrottle"]
    assert [a["state"] for a in found] == ["firing", "firing"]
    assert found[0]["where"] == "matcher 0: 2"


def gauge(service: str, name: str, value: float) -> dict[str, Any]:
    return {service: {"gauges": {name: value}}}


def own(name: str = "", value: float = 0.0, **checks: Reading) -> dict[str, Any]:
    gauges = {name: value} if name else {}
    return {"own": Snapshot("health", 0, 1, 0, True, checks, {}, gauges)}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("DeploymentFailed", own("rtes_deployment_status", 0)),
        ("HighErrorRate", own("rtes_error_rate", 0.06)),
        ("DeploymentStuck", own("rtes_deployment_phase_start_timestamp_seconds", 0)),
        ("ExchangeNotReady", {"matcher": {"ready": False}}),
        ("ServiceUnhealthy", {"snapshotter": {"ready": False}}),
        ("HealthCheckFailing", own(clock=FAILED)),
        ("EmergencyStage", gauge("matcher", "rtes_symbols_halted", 1)),
        ("EmergencyThrottle", gauge("gateway", "rtes_throttled", 1)),
        ("CircuitBreakerOpen", gauge("gateway", "rtes_circuit_breaker_state.risk0-matcher0", 2)),
        ("Overload", {"busy": 0.06}),
        ("JournalReadOnly", gauge("matcher", "rtes_read_only", 1)),
        ("DiskAlmostFull", own("rtes_disk_free_ratio", 0.09)),
        ("JournalDamaged", gauge("snapshotter", "rtes_journal_damaged", 1)),
        ("JournalLag", gauge("archive", "rtes_feed_lag", 100_001)),
        ("AuditUnwritable", own(audit_log=FAILED)),
        ("SequenceDivergence", own(sequence_continuity=FAILED)),
        ("SnapshotStale", gauge("matcher", "rtes_sequence", 2_000_001)),
        ("CertExpiresSoon", own("rtes_tls_cert_not_after_timestamp_seconds", 1_700_000_000 + 9e5)),
        ("MemoryAlmostFull", own("rtes_memory_ratio", 0.86)),
    ],
)
def test_each_holds_when_it_should(name: str, more: dict[str, Any]) -> None:
    EXPECTED[("archive", 0)] = True
    page = Page()
    assert page.names() == set()
    assert name in page.names(**more)


def test_a_half_open_breaker_is_no_alert() -> None:
    more = gauge("gateway", "rtes_circuit_breaker_state.risk0-matcher0", 1)
    assert Page().names(**more) == set()


def test_floods_are_shown_for_five_minutes() -> None:
    page = Page()
    for bans in (5.0, 5.0, 6.0):
        found = page.names(gateway={"counters": {"rtes_bans_total": bans}})
    assert found == {"Flood"}
    later = [page.names(gateway={"counters": {"rtes_bans_total": 6.0}}) for _ in range(300)]
    assert later[-2:] == [{"Flood"}, set()]


def test_a_service_that_restarts_four_times_is_shown() -> None:
    page = Page()
    found = [page.names(matcher={"start_ns": n}) for n in range(5)]
    assert found == [set()] * 4 + [{"ServiceRestarting"}]
