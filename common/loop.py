"""The loop every service runs: drain, decide, make durable, only then release.

A batch is as large as the load makes it: one frame when idle, hundreds under load. There is no
timer on the path of an order. The same loop runs in the simulator against fake ports.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from rtes.common import failpoint, process
from rtes.common.checks import Check, HealthCheckManager, HealthStatus, Result
from rtes.common.events import Event
from rtes.common.histogram import Histogram
from rtes.common.records import encode

HEALTH_CHANNEL: Final = 99
HEALTH_INTERVAL_NS: Final = 500_000_000
LOOP_AGE_NS_MAX: Final = 1_000_000_000
TICK_NS: Final = 50_000_000
TICK_MS: Final = TICK_NS // 1_000_000
IDLE_MS: Final = 2 * TICK_MS  # a wake-up only to look at the time costs a tenth of a millisecond
FAILPOINTS: Final = ("received", "decided", "committed", "half_told", "told")
Send = tuple[int, bytes | None, bytes]  # channel, routing id (ROUTER only), frame


@dataclass
class Vitals:
    """What a service says of itself to health."""

    ready: bool
    counters: dict[str, float] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)  # since the last ones, for the log


class Rest(NamedTuple):
    """What a follower, for which no order waits, does between two batches: it lets seconds pass,
    so that one wake-up takes in many frames, and then waits for one, unless more is to be done
    already."""

    seconds: float
    more: bool = False


class Core(Protocol):
    """A pure decision core: frames and times in, frames out.

    now_ns is monotonic, for whatever waits; only business is stamped with the wall's time, which
    may jump."""

    outbox: list[Send]

    def receive(self, channel: int, frames: list[Any], now_ns: int, wall_ns: int, /) -> None:
        """Take frames that arrived on a channel."""

    def flush(self, now_ns: int, wall_ns: int, /) -> None:
        """End of a batch: put what it produced into outbox."""

    def tick(self, now_ns: int) -> None:
        """Called every TICK_NS, after a batch's flush; every IDLE_MS while nothing arrives."""

    def vitals(self) -> Vitals:
        """Readiness and figures."""

    def health_checks(self) -> list[Check]:
        """What to register at the start; the functions run in the loop, between batches."""


class Ports(Protocol):
    """The part of Sockets that the loop needs."""

    def wait(self, timeout_ms: int) -> list[int]: ...
    def receive(self, channel: int) -> list[Any]: ...
    def send(self, channel: int, routing_id: bytes | None, frame: bytes) -> bool: ...


class WallClock(Protocol):
    """The part of Clock that the loop needs."""

    def wall_ns(self) -> int: ...
    def monotonic_ns(self) -> int: ...


class Loop:
    """Runs one core. commit is called after each flush, before anything is sent."""

    def __init__(
        self,
        core: Core,
        ports: Ports,
        clock: WallClock,
        service: str,
        shard: int = 0,
        commit: Callable[[], None] | None = None,
        undelivered: Callable[[int, bytes], None] | None = None,
        beat: Callable[[], None] = lambda: None,
        told: Callable[[dict[str, Any]], None] = lambda _: None,
        log: Callable[[list[Event]], None] = lambda _: None,
        release: Mapping[str, str] = MappingProxyType({}),
        rest: Callable[[], Rest] | None = None,
        spins: bool = False,
    ) -> None:
        """told gets each report to health, too; log gets what happened since the last; release
        says which version runs here, see service.release_of; rest is asked after each
        batch of a follower; spins: never sleep, see mesh.busy_poll."""
        self._core = core
        self._ports = ports
        self._clock = clock
        self._commit = commit
        self._undelivered = undelivered
        self._beat = beat
        self._told_report = told
        self._log = log
        self._rest = rest
        self._spins = spins
        self._received, self._decided, self._committed, self._half_told, self._told = (
            f"{service}.{point}" for point in FAILPOINTS
        )
        self._identity = {
            "service": service,
            "shard": shard,
            "pid": os.getpid(),
            "start_ns": clock.wall_ns(),
            **release,
        }
        self._checks = HealthCheckManager(clock.monotonic_ns())
        self._checks.register_check(Check("loop", self._age, interval_s=0.5, fail_after=2))
        for check in core.health_checks():
            self._checks.register_check(check)
        self._tick_ns = 0
        self._tick_gap_ns = 0  # the longest between two ticks since the last report
        self._health_ns = 0
        self._health_interval_ns = TICK_NS  # until it is ready: whoever waits for it is to know
        self.stopping = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        more = False
        while not self.stopping:
            # until it is ready somebody waits for that
            idle_ms = TICK_MS if self._health_interval_ns == TICK_NS else IDLE_MS
            self.step(0 if more or self._spins else idle_ms)
            if self._rest is not None:
                seconds, more = self._rest()
                time.sleep(seconds)
        self._log([*self._core.vitals().events, ("info", "stopping", {})])

    def _stop(self, _signal: int, _frame: object) -> None:
        self.stopping = True

    def step(self, timeout_ms: int) -> None:
        """One batch."""
        core, clock = self._core, self._clock
        channels = self._ports.wait(timeout_ms)
        for channel in channels:
            frames = self._ports.receive(channel)
            core.receive(channel, frames, clock.monotonic_ns(), clock.wall_ns())
        busy = bool(channels)
        if busy:
            failpoint.at(self._received)
        now_ns = clock.monotonic_ns()
        core.flush(now_ns, clock.wall_ns())
        if busy:
            failpoint.at(self._decided)
        if now_ns - self._tick_ns >= TICK_NS:
            if self._tick_ns:
                self._tick_gap_ns = max(self._tick_gap_ns, now_ns - self._tick_ns)
            self._tick_ns = now_ns
            core.tick(now_ns)
        if self._commit is not None:
            self._commit()
        if busy:
            failpoint.at(self._committed)
        self._release()
        if busy:
            failpoint.at(self._told)
        if self._tick_ns - self._health_ns >= self._health_interval_ns:
            self._health_ns = self._tick_ns
            self.report()

    def _release(self) -> None:
        outbox, self._core.outbox = self._core.outbox, []
        for channel, routing_id, frame in outbox:
            if self._ports.send(channel, routing_id, frame):
                failpoint.at(self._half_told)
                continue
            if routing_id is not None and self._undelivered is not None:
                self._undelivered(channel, routing_id)

    def _age(self) -> Result:
        """A loop that takes long for one round answers late, whatever else is well."""
        gap_ns, self._tick_gap_ns = self._tick_gap_ns, 0
        detail = f"longest round {gap_ns / 1e6:.0f} ms"
        slow = gap_ns > LOOP_AGE_NS_MAX
        return Result(HealthStatus.DEGRADED if slow else HealthStatus.HEALTHY, detail)

    def report(self) -> None:
        """Send to health what the core says of itself and how its checks stand."""
        vitals, clock = self._core.vitals(), self._clock
        self._health_interval_ns = HEALTH_INTERVAL_NS if vitals.ready else TICK_NS
        self._checks.run(clock.monotonic_ns)
        verdicts = self._checks.verdicts(clock.monotonic_ns())
        cpu_s, memory_bytes = process.usage()
        snapshot = {
            **self._identity,
            "ready": vitals.ready,
            "checks": {name: v.wire() for name, v in verdicts.items()},
            "counters": vitals.counters | {"rtes_process_cpu_seconds_total": cpu_s},
            "gauges": vitals.gauges | {"rtes_process_resident_memory_bytes": memory_bytes},
            "histograms": {name: h.wire() for name, h in vitals.histograms.items()},
        }
        self._ports.send(HEALTH_CHANNEL, None, encode(snapshot))
        self._told_report(snapshot)
        self._log(vitals.events)
        self._beat()
