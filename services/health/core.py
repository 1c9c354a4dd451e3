"""What health concludes from the snapshots that the services send, and its own checks. Pure.

A service that was not heard of for 1.5 s is unhealthy, whatever it said before. One that is not
ready or has an unhealthy critical check is unhealthy; any other failed check degrades it. The
exchange is ready when every critical service is, and started once every expected one has been
ready; it is alive as long as this aggregator's own loop runs, so that one sick service never has
the others restarted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec
from rtes.common.checks import HealthStatus, Verdict, standing_of, worst
from rtes.common.config import Config

SILENT_NS_MAX: Final = 1_500_000_000
LOOP_AGE_NS_MAX: Final = 2_000_000_000
SERVICES_MAX: Final = 256
CRITICAL: Final = ("gateway", "risk", "matcher", "archive")
OWN: Final = "health"


class Reading(msgspec.Struct, frozen=True):
    """One check's standing, as the service reports it; see rtes.common.checks.Verdict."""

    status: HealthStatus
    detail: str = ""
    critical: bool = False
    groups: tuple[str, ...] = ()
    passed: int = 0
    failed: int = 0


class Snapshot(msgspec.Struct, frozen=True):
    """What a service says of itself; see rtes.common.loop.Loop.report. Histograms are
    (sum in ns, counts by bucket)."""

    service: str
    shard: int
    pid: int
    start_ns: int
    ready: bool
    checks: dict[str, Reading] = {}
    counters: dict[str, float] = {}
    gauges: dict[str, float] = {}
    histograms: dict[str, tuple[int, list[int]]] = {}
    version: str = ""
    deployment: str = ""  # version@seconds; empty when none is on record


@dataclass(frozen=True)
class ServiceReport:
    """One service, judged. why says what is wrong; empty when it is healthy."""

    service: str
    shard: int
    critical: bool
    status: HealthStatus
    why: list[str]
    age_ns: int | None
    snapshot: Snapshot | None


@dataclass(frozen=True)
class Report:
    """The exchange, judged at a time. live is False when nobody judged it since."""

    status: HealthStatus
    live: bool
    ready: bool
    started: bool
    services: list[ServiceReport]
    malformed: int
    at_ns: int

    def read_at(self, now_ns: int) -> "Report":
        """The report as it may still be told: one that is old says nothing good any more."""
        if now_ns - self.at_ns <= LOOP_AGE_NS_MAX:
            return self
        return replace(self, status=HealthStatus.UNHEALTHY, live=False, ready=False)


Key = tuple[str, int]


class Health:
    """Takes snapshots, answers with a report. expected maps each service to whether it is
    critical."""

    def __init__(self, expected: dict[Key, bool]) -> None:
        self._expected = expected
        self._heard: dict[Key, tuple[int, Snapshot]] = {}
        self._not_yet_ready = dict(expected)
        self._malformed = 0

    def poll(self, frames: Iterable[bytes], now_ns: int) -> None:
        """Take the snapshots that arrived."""
        for frame in frames:
            try:
                self._take(_decode(frame), now_ns)
            except msgspec.DecodeError:
                self._malformed += 1

    def _take(self, snapshot: Snapshot, now_ns: int) -> None:
        key = (snapshot.service, snapshot.shard)
        known = self._heard.get(key)
        if known is None and len(self._heard) >= SERVICES_MAX:
            self._malformed += 1
            return
        if known is not None and snapshot.start_ns < known[1].start_ns:
            return  # the last words of an instance that was replaced
        self._heard[key] = (now_ns, snapshot)
        if snapshot.ready:
            self._not_yet_ready.pop(key, None)

    def heard(self, now_ns: int) -> dict[Key, Snapshot]:
        """The last snapshot of every service that is not silent."""
        return {k: s for k, (at, s) in self._heard.items() if now_ns - at <= SILENT_NS_MAX}

    def report(self, now_ns: int, own: Snapshot) -> Report:
        """The state of the exchange now. own: health's own checks and figures."""
        keys = [*self._expected, *(k for k in self._heard if k not in self._expected)]
        services = [self._judge(key, now_ns) for key in keys]
        services.append(_judged((OWN, 0), True, own, 0))
        degrading = (
            HealthStatus.DEGRADED if s.status is HealthStatus.UNHEALTHY else s.status
            for s in services
        )
        critical = [s.status for s in services if s.critical]
        status = worst([*critical, *degrading])
        return Report(
            status=status,
            live=True,
            ready=status is not HealthStatus.UNHEALTHY,
            started=not self._not_yet_ready,
            services=services,
            malformed=self._malformed,
            at_ns=now_ns,
        )

    def _judge(self, key: Key, now_ns: int) -> ServiceReport:
        critical = self._expected.get(key, False)
        heard = self._heard.get(key)
        if heard is None:
            why = ["not heard of yet"]
            return ServiceReport(*key, critical, HealthStatus.UNHEALTHY, why, None, None)
        return _judged(key, critical, heard[1], now_ns - heard[0])


def _judged(key: Key, critical: bool, snapshot: Snapshot, age_ns: int) -> ServiceReport:
    """What a service's last snapshot and its age make of it."""
    checks = snapshot.checks.items()
    why = [
        f"{name}: {c.detail or c.status}"
        for name, c in checks
        if c.status is not HealthStatus.HEALTHY
    ]
    status = standing_of((c.status, c.critical) for _, c in checks)
    if age_ns > SILENT_NS_MAX:
        status, why = HealthStatus.UNHEALTHY, [f"silent for {age_ns / 1e9:.1f} s"]
    elif not snapshot.ready:
        status, why = HealthStatus.UNHEALTHY, why or ["not ready"]
    return ServiceReport(*key, critical, status, why, age_ns, snapshot)


def readings(verdicts: Mapping[str, Verdict]) -> dict[str, Reading]:
    """Health's own checks in the form that services report theirs."""
    return {name: Reading(*verdict) for name, verdict in verdicts.items()}


def expected_services(config: Config) -> dict[Key, bool]:
    """Every service that the configuration asks for, and whether it is critical."""
    return {
        (service, shard): service in CRITICAL
        for service, count in config.mesh.instances.items()
        for shard in range(count)
    }


_decode = msgspec.msgpack.Decoder(Snapshot).decode
