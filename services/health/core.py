"""What health concludes from the snapshots that the services send. Pure.

A service that was not heard of for 2 s is unhealthy, whatever it said before. One that is not
ready is unhealthy; one that is ready with a failed check is degraded. The exchange is ready when
every critical service is, and started once every expected one has been ready; it is alive as long
as this aggregator's own loop runs, so that one sick service never has the others restarted.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec
from rtes.common.config import Config

SILENT_NS_MAX: Final = 2_000_000_000
LOOP_AGE_NS_MAX: Final = 2_000_000_000
SERVICES_MAX: Final = 256
CRITICAL: Final = ("gateway", "risk", "matcher", "archive")


class Status(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class Check(msgspec.Struct, frozen=True):
    """One check's result, as the service reports it."""

    ok: bool
    detail: str = ""


class Snapshot(msgspec.Struct, frozen=True):
    """What a service says of itself; see rtes.common.loop.Vitals."""

    service: str
    shard: int
    pid: int
    start_ns: int
    ready: bool
    checks: dict[str, Check] = {}
    counters: dict[str, float] = {}
    gauges: dict[str, float] = {}


@dataclass(frozen=True)
class ServiceReport:
    """One service, judged. why says what is wrong; empty when it is healthy."""

    service: str
    shard: int
    critical: bool
    status: Status
    why: list[str]
    age_ns: int | None
    snapshot: Snapshot | None


@dataclass(frozen=True)
class Report:
    """The exchange, judged."""

    status: Status
    live: bool
    ready: bool
    started: bool
    services: list[ServiceReport]
    malformed: int


Key = tuple[str, int]


class Health:
    """Takes snapshots, answers with a report. expected maps each service to whether it is
    critical."""

    def __init__(self, expected: dict[Key, bool], now_ns: int) -> None:
        self._expected = expected
        self._heard: dict[Key, tuple[int, Snapshot]] = {}
        self._not_yet_ready = dict(expected)
        self._polled_ns = now_ns
        self._malformed = 0

    def poll(self, frames: Iterable[bytes], now_ns: int) -> None:
        """Take the snapshots that arrived; called regularly, also without any."""
        self._polled_ns = now_ns
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

    def report(self, now_ns: int) -> Report:
        """The state of the exchange now."""
        keys = [*self._expected, *(k for k in self._heard if k not in self._expected)]
        services = [self._judge(key, now_ns) for key in keys]
        critical = [s for s in services if s.critical]
        if any(s.status is Status.UNHEALTHY for s in critical):
            status = Status.UNHEALTHY
        elif any(s.status is not Status.HEALTHY for s in services):
            status = Status.DEGRADED
        else:
            status = Status.HEALTHY
        return Report(
            status=status,
            live=now_ns - self._polled_ns <= LOOP_AGE_NS_MAX,
            ready=status is not Status.UNHEALTHY,
            started=not self._not_yet_ready,
            services=services,
            malformed=self._malformed,
        )

    def _judge(self, key: Key, now_ns: int) -> ServiceReport:
        critical = self._expected.get(key, False)
        heard = self._heard.get(key)
        if heard is None:
            why = ["not heard of yet"]
            return ServiceReport(*key, critical, Status.UNHEALTHY, why, None, None)
        at_ns, snapshot = heard
        age_ns = now_ns - at_ns
        checks = snapshot.checks.items()
        failed = [f"{name}: {c.detail or 'failed'}" for name, c in checks if not c.ok]
        status = Status.DEGRADED if failed else Status.HEALTHY
        if age_ns > SILENT_NS_MAX:
            status, failed = Status.UNHEALTHY, [f"silent for {age_ns / 1e9:.1f} s"]
        elif not snapshot.ready:
            status, failed = Status.UNHEALTHY, failed or ["not ready"]
        return ServiceReport(*key, critical, status, failed, age_ns, snapshot)


def expected_services(config: Config) -> dict[Key, bool]:
    """Every service that the configuration asks for, and whether it is critical."""
    mesh = config.mesh
    counts = {
        "gateway": mesh.gateways,
        "risk": mesh.risk_shards,
        "matcher": mesh.matcher_shards,
        "archive": mesh.matcher_shards,
        "marketdata": 1,
    }
    return {
        (service, shard): service in CRITICAL
        for service, count in counts.items()
        for shard in range(count)
    }


_decode = msgspec.msgpack.Decoder(Snapshot).decode
