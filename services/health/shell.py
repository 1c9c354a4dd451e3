"""Between health's cores and the machine: checks in threads, the poll loop, what is served.

A check has a thread of its own each time it runs, so one that hangs holds up nothing; it is not
started a second time. The poll loop judges ten times a second and leaves its report where the
server's thread finds it; the server tells how old that is.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from rtes.common import logs
from rtes.common.checks import Check, HealthCheckManager, outcome_of
from rtes.common.config import Config, checkout
from rtes.common.curve import CurveClient
from rtes.common.httpserver import Request, Response
from rtes.common.paths import Paths
from rtes.common.process import usage
from rtes.common.refdata import Instrument
from rtes.common.service import release_of
from rtes.services.health import deployment, machine
from rtes.services.health.core import (
    OWN,
    Health,
    Reading,
    Report,
    Snapshot,
    expected_services,
    readings,
)
from rtes.services.health.emergency import (
    ERROR_RATE_MAX,
    MEMORY_RATIO_MAX,
    EmergencyShutdown,
    Outcome,
)
from rtes.services.health.page import Page
from rtes.services.health.sequence import SequenceContinuity
from rtes.services.health.views import respond
from rtes.services.health.window import Orders

POLL_MS: Final = 100
OPERATOR: Final = "OPS"  # the account that setup makes for the exchange's own people
_SECOND_NS: Final = 1_000_000_000


class Time(Protocol):
    """The part of Clock that is needed here."""

    def wall_ns(self) -> int: ...
    def monotonic_ns(self) -> int: ...


class CheckRunner:
    """Runs checks in threads; results come back through `collect`."""

    def __init__(self, clock: Time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.manager = HealthCheckManager(clock.monotonic_ns())

    def step(self) -> None:
        """Start what is due."""
        with self._lock:
            due = self.manager.due(self._clock.monotonic_ns())
        for check in due:
            threading.Thread(target=self._run, args=(check,), daemon=True).start()

    def _run(self, check: Check) -> None:
        result = outcome_of(check)
        with self._lock:
            self.manager.finish(check.name, result, self._clock.monotonic_ns())

    def readings(self) -> dict[str, Reading]:
        """How the checks stand."""
        with self._lock:
            return readings(self.manager.verdicts(self._clock.monotonic_ns()))


class Aggregator:
    """Polls and judges. `report` may be read from any thread."""

    def __init__(
        self,
        config: Config,
        instruments: Iterable[Instrument],
        clock: Time,
        instance: dict[str, Any],
    ) -> None:
        self.instance = instance
        self._config = config
        self._clock = clock
        self._identity: dict[str, Any] = {
            "service": OWN, "shard": 0, "pid": os.getpid(), "start_ns": clock.wall_ns(),
            **release_of(config.mesh.run_dir),
        }  # fmt: skip
        self._health = Health(expected_services(config))
        self._page = Page(instruments, checkout() / "docs" / "runbooks")
        self._runner = CheckRunner(clock)
        self._sequence = SequenceContinuity()
        self._orders = Orders()
        self._gauges: dict[str, float] = {}
        self._cpu_s = 0.0
        self._second_ns = 0
        self._record = Path(config.mesh.run_dir) / deployment.FILE
        for check in machine.machine_checks(config, self._heard):
            self._runner.manager.register_check(check)
        continuity = Check(
            "sequence_continuity", self._sequence.result, 0.5, groups=("data",), fail_after=2
        )
        self._runner.manager.register_check(continuity)
        self._emergency = EmergencyShutdown(self._stop_trading)
        self._emergency.register_trigger(
            "high_memory", lambda: machine.memory_ratio() > MEMORY_RATIO_MAX
        )
        self._emergency.register_trigger(
            "high_error_rate", lambda: self._orders.errors > ERROR_RATE_MAX
        )
        self._runner.manager.register_check(Check("emergency_triggers", self._emergency.result))
        self._report = self._judge(clock.monotonic_ns())

    def _heard(self) -> dict[tuple[str, int], Snapshot]:
        return self._health.heard(self._clock.monotonic_ns())

    def poll(self, frames: list[bytes]) -> None:
        """Take snapshots, run what is due, judge."""
        now_ns = self._clock.monotonic_ns()
        self._health.poll(frames, now_ns)
        heard = self._health.heard(now_ns)
        self._sequence.take(heard)
        self._runner.step()
        if now_ns - self._second_ns >= _SECOND_NS:
            self._second_ns = now_ns
            self._orders.second(heard)
            self._emergency.step(now_ns)
            record = self._deployment_record()
            self._gauges = self._measure(record)
            self._report = self._judge(now_ns)
            self._page.second(
                heard, self._report, self._orders.busy, deployment.shown(record),
                self._clock.wall_ns() / 1e9,
            )  # fmt: skip
        else:
            self._report = self._judge(now_ns)

    def _stop_trading(self, reason: str) -> Outcome:
        """As an operator would, in a process of its own: nothing here waits for it."""
        logs.get().error("emergency", reason=reason)
        words = [
            sys.executable, "-m", "rtes.client.cli", "emergency", "cancel-only",
            "--reason", reason, "--profile", str(Paths(self._config).config_file),
        ]  # fmt: skip
        try:
            process = subprocess.Popen(words)  # noqa: S603 - our own command
        except OSError as error:  # as when there is no memory for one more
            why = str(error)
            return lambda: why
        return lambda: _outcome(process)

    def _judge(self, now_ns: int) -> Report:
        own = Snapshot(
            ready=True,
            checks=self._runner.readings(),
            counters={"rtes_process_cpu_seconds_total": self._cpu_s},
            gauges=self._gauges,
            **self._identity,
        )
        return self._health.report(now_ns, own)

    def _deployment_record(self) -> str:
        """Its text: empty when there is none, and no JSON when it cannot be read."""
        try:
            return self._record.read_text()
        except FileNotFoundError:
            return ""
        except (OSError, ValueError):
            return "unreadable"

    def _measure(self, record: str) -> dict[str, float]:
        """Health's own figures; what cannot be read is left out. record: the deployment's."""
        self._cpu_s, memory_bytes = usage()
        gauges = {
            "rtes_error_rate": self._orders.errors,
            "rtes_memory_ratio": machine.memory_ratio(),
            "rtes_process_resident_memory_bytes": float(memory_bytes),
            **deployment.deployment_gauges(record),
        }
        with contextlib.suppress(OSError, ValueError):
            free, size = machine.disk_free(self._config)
            gauges |= {"rtes_disk_free_bytes": free, "rtes_disk_free_ratio": free / size}
            gauges |= machine.certificate_gauges(self._config)
        return gauges

    def report(self) -> Report:
        """The last report, or, when it is old, what it is still worth."""
        return self._report.read_at(self._clock.monotonic_ns())

    def answer(self, request: Request) -> Response:
        if request.authorized and (page := self._page.answer(request.path)) is not None:
            return page
        return respond(request, self.report(), self.instance)

    def event(self) -> bytes:
        """What the page is told each second."""
        return self._page.event(self.report(), self.instance)

    def books_wanted(self) -> list[tuple[int, bytes]]:
        """(matcher shard, request) for its market data, once a second while the page is open."""
        return self._page.requests(self._clock.monotonic_ns())

    def take_books(self, frames: list[bytes]) -> None:
        """The snapshot service's answers."""
        self._page.take(frames)


def _outcome(process: subprocess.Popen[bytes]) -> str | None:
    """Why it failed, empty when it did not; None while it runs."""
    code = process.poll()
    if code is None:
        return None
    return f"exit code {code}" if code else ""


def instance_of(config: Config, version: str, started_ns: int) -> dict[str, Any]:
    """What every answer says about the process that gives it."""
    return {
        "version": version,
        "environment": config.environment,
        "durability": f"{config.journal.durability}: {config.journal.meaning}",
        "pid": os.getpid(),
        "start_time": datetime.fromtimestamp(started_ns / 1e9, UTC).isoformat(),
    }


def reader_keys(config: Config, paths: Paths) -> CurveClient | None:
    """The operator's keys, to read the books with; None when CURVE is off or they are not on
    this host: the page then shows no books."""
    try:
        keys = json.loads(paths.key_file(OPERATOR).read_text())
        client = CurveClient(keys["public_key"], keys["secret_key"], keys["server_key"])
    except (OSError, ValueError, KeyError):
        return None
    return client if config.security.curve else None
