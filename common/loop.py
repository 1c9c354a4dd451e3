"""The loop every service runs: drain, decide, make durable, only then release.

A batch is as large as the load makes it: one frame when idle, hundreds under load. There is no
timer on the path of an order. The same loop runs in the simulator against fake ports.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from rtes.common.records import encode

HEALTH_CHANNEL: Final = 99
HEALTH_INTERVAL_NS: Final = 500_000_000
TICK_NS: Final = 50_000_000
Send = tuple[int, bytes | None, bytes]  # channel, routing id (ROUTER only), frame


@dataclass
class Vitals:
    """What a service says of itself to health."""

    ready: bool
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)


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
        """Called every TICK_NS, and after the flush of a busy batch."""

    def vitals(self) -> Vitals:
        """Readiness, checks and counters."""


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
    ) -> None:
        self._core = core
        self._ports = ports
        self._clock = clock
        self._commit = commit
        self._undelivered = undelivered
        self._identity = {
            "service": service,
            "shard": shard,
            "pid": os.getpid(),
            "start_ns": clock.wall_ns(),
        }
        self._tick_ns = 0
        self._health_ns = 0
        self.stopping = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        while not self.stopping:
            self.step(TICK_NS // 1_000_000)

    def _stop(self, _signal: int, _frame: object) -> None:
        self.stopping = True

    def step(self, timeout_ms: int) -> None:
        """One batch."""
        core, clock = self._core, self._clock
        for channel in self._ports.wait(timeout_ms):
            frames = self._ports.receive(channel)
            core.receive(channel, frames, clock.monotonic_ns(), clock.wall_ns())
        now_ns = clock.monotonic_ns()
        core.flush(now_ns, clock.wall_ns())
        if now_ns - self._tick_ns >= TICK_NS:
            self._tick_ns = now_ns
            core.tick(now_ns)
        if self._commit is not None:
            self._commit()
        self._release()
        if self._tick_ns - self._health_ns >= HEALTH_INTERVAL_NS:
            self._health_ns = self._tick_ns
            self.report()

    def _release(self) -> None:
        outbox, self._core.outbox = self._core.outbox, []
        for channel, routing_id, frame in outbox:
            if self._ports.send(channel, routing_id, frame):
                continue
            if routing_id is not None and self._undelivered is not None:
                self._undelivered(channel, routing_id)

    def report(self) -> None:
        """Send the core's vitals to health."""
        vitals = self._core.vitals()
        snapshot = {
            **self._identity,
            "ready": vitals.ready,
            "checks": vitals.checks,
            "counters": vitals.counters,
            "gauges": vitals.gauges,
        }
        self._ports.send(HEALTH_CHANNEL, None, encode(snapshot))
