"""Kills, stops and restarts the services of one mesh while participants trade, then checks.

A run is one mesh, of one or several of each service, with its own directory, seed and schedule.
Segments are small and snapshots frequent, so that both happen all the time; what participants
missed while they were away stays.
Every segment is kept by a hard link, so that the whole journal can be executed again whatever
retention removed.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rtes.client.testing import SERVICES, Mesh
from rtes.common import failpoint, loop
from rtes.common.journal import segments
from rtes.control.shards import instance_of

from tests.chaos.checker import KINDS, Findings, check_all
from tests.chaos.trader import BURST_MAX, Trader
from tests.meshes import limit, told

EVERYTHING: Final = (*SERVICES, "marketdata", "snapshotter")
LANES: Final = (("matcher",), ("gateway", "risk"), ("archive", "marketdata", "snapshotter"))
NAMES: Final = ("DEMO1", "DEMO2", "DEMO3")
POSITION_MAX: Final = 60
READY_S: Final = 90.0  # long: a machine that is starved is not a finding
PROGRESS_S: Final = 90.0
ARMED_S: Final = 120.0
FAILPOINTS: Final = {
    service: [f"{service}.{point}" for point in loop.FAILPOINTS] for service in EVERYTHING
}
FAILPOINTS["matcher"] += [
    f"journal.{p}" for p in ("torn", "appended", "allocating", "prepared", "rolled", "synced")
]
FAILPOINTS["snapshotter"].remove("snapshotter.half_told")  # it tells nobody anything
FAILPOINTS["snapshotter"] += ["snapshot.part", "snapshot.written"]
ONCE_A_SEGMENT: Final = ("journal.allocating", "journal.prepared", "journal.rolled")


@dataclass
class Outcome:
    """What runs came to; ready_ms: from a kill of one service to its being ready, by service."""

    kills: int = 0
    pauses: int = 0
    deaths: dict[str, int] = field(default_factory=dict)  # by failpoint
    orders: int = 0
    reports: int = 0
    findings: Findings = field(default_factory=Findings)
    ready_ms: dict[str, list[float]] = field(default_factory=lambda: {s: [] for s in EVERYTHING})

    def update(self, other: "Outcome") -> None:
        self.kills += other.kills
        self.pauses += other.pauses
        self.orders += other.orders
        self.reports += other.reports
        for name, count in other.deaths.items():
            self.deaths[name] = self.deaths.get(name, 0) + count
        for service, times in other.ready_ms.items():
            self.ready_ms[service] += times
        self.findings.update(other.findings)

    def summary(self) -> dict[str, Any]:
        """The figures, as a campaign prints them."""
        return {
            "kills": self.kills + sum(self.deaths.values()),
            "pauses": self.pauses,
            "failpoints": dict(sorted(self.deaths.items())),
            "orders": self.orders,
            "reports": self.reports,
            **{kind: self.findings.counts[kind] for kind in KINDS},
            "ready_p50_ms": {s: percentile(t, 50) for s, t in self.ready_ms.items()},
            "ready_p99_ms": {s: percentile(t, 99) for s, t in self.ready_ms.items()},
        }


def percentile(values: list[float], percent: int) -> int | None:
    """Of whole milliseconds, nearest rank; None of nothing."""
    if not values:
        return None
    return round(sorted(values)[max(0, -(-len(values) * percent // 100) - 1)])


class StuckError(RuntimeError):
    """Something did not come back, or nobody was told anything any more."""


class Run:
    """One mesh with its participants; use as a context manager, then `check`."""

    def __init__(self, directory: Path, seed: int, shards: int = 1, **journal: Any) -> None:
        settings = {"segment_mib": 1, "snapshot_commands": 1_000, "history_mib": 16, **journal}
        counts = dict.fromkeys(("gateways", "risk_shards", "matcher_shards"), shards)
        self.mesh = Mesh(directory, EVERYTHING, journal=settings, mesh=counts)
        self.programs = self.mesh.services
        self.kept = directory / "kept"
        for shard in range(shards):
            (self.kept / str(shard)).mkdir(parents=True)
        self.outcome = Outcome()
        self.tell: Callable[[Outcome], None] = lambda outcome: None  # after every death
        self.chance = random.Random(seed)
        limit(self.mesh, NAMES[0], position_max=POSITION_MAX, orders_per_s_max=1_000_000)
        self.traders: list[Trader] = []

    def __enter__(self) -> "Run":
        self.mesh.__enter__()
        self.traders = [Trader.of(self.mesh, n, self.chance.randrange(2**32)) for n in NAMES]
        for trader in self.traders:
            trader.start()
        return self

    def __exit__(self, *reason: Any) -> None:
        for trader in self.traders:
            trader.abandon()
        self.mesh.__exit__(*reason)

    # ------------------------------------------------------------ what is done to it

    def kill(self, *services: str) -> None:
        for service in services:
            self.mesh.kill(service)
            self.outcome.kills += 1
            self.tell(self.outcome)

    def pause(self, service: str, seconds: float) -> None:
        """SIGSTOP, then SIGCONT: for the others it is dead, and then it is back."""
        process = self.mesh.processes[service]
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        self.outcome.pauses += 1

    def arm(self, service: str, name: str, count: int) -> None:
        """Start a service that is dead so that it dies at a failpoint."""
        self.mesh.start(service, **{failpoint.VARIABLE: f"{name}:{count}"})

    def dead_of(self, service: str, name: str) -> None:
        """A service that was armed has ended: it must have been by the failpoint."""
        code = self.mesh.processes[service].wait()
        if code != -signal.SIGKILL:
            raise StuckError(
                f"{service} at {name} ended with {code}: {self.mesh.log(service)[-2_000:]}"
            )
        self.outcome.deaths[name] = self.outcome.deaths.get(name, 0) + 1
        self.tell(self.outcome)

    # ------------------------------------------------------------ what is waited for

    def ready(self, *services: str) -> None:
        self._until(lambda: all(map(self.mesh.ready, services)), READY_S, f"{services} ready")

    def progress(self) -> None:
        """Until every participant was told something new."""
        before = [t.reports for t in self.traders]
        self._until(
            lambda: all(t.reports > n + 5 for t, n in zip(self.traders, before, strict=True)),
            PROGRESS_S,
            "participants are told something",
        )

    def _until(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            self.look()
            if time.monotonic() > deadline:
                states = [(t.name, t.reports, t.client.in_flight) for t in self.traders]
                vitals = {s: v.get("ready") for s, v in self.mesh.vitals.items()}
                raise StuckError(f"not within {seconds} s: {what}; {states} {vitals}")

    def look(self, timeout_ms: int = 10) -> None:
        """Hear the services, keep new segments. Raises StuckError when a participant gave up."""
        self.mesh.hear(timeout_ms)
        for kept in self.kept.iterdir():
            for path in segments(self.mesh.paths.journal_dir(int(kept.name))):
                if not (kept / path.name).exists():
                    os.link(path, kept / path.name)
        failures = [f"{t.name}: {t.failure}" for t in self.traders if t.failure]
        if failures:
            raise StuckError("; ".join(failures))

    # ------------------------------------------------------------ the end

    def check(self) -> Outcome:
        """Stop trading, wait for all answers and compare."""
        outcome = self.outcome
        for service in self.programs:
            if self.mesh.processes[service].poll() is not None:
                self.mesh.start(service)
        self.ready(*self.programs)
        for trader in self.traders:
            trader.stopping.set()
        for trader in self.traders:
            trader.join(60)
        self.look()
        journals = [told(self.mesh, kept) for kept in self.kept.iterdir()]
        diaries = {t.name: t.end(sum(len(j[t.name]) for j in journals)) for t in self.traders}
        outcome.findings.update(check_all(self.mesh, diaries, self.kept))
        beliefs = [d.belief for d in diaries.values() if d.belief is not None]
        outcome.orders = sum(b.next_id - 1 for b in beliefs)
        outcome.reports = sum(len(d.told) for d in diaries.values())
        return outcome


# ---------------------------------------------------------------- schedules


def one_kill(run: Run, service: str = "") -> None:
    """Kill one service, any by default, and measure how long it takes to be ready."""
    service = service or run.chance.choice(run.programs)
    began = time.monotonic()
    run.kill(service)
    run.mesh.start(service)
    run.ready(service)
    run.outcome.ready_ms[instance_of(service)[0]].append((time.monotonic() - began) * 1e3)


def two_kills(run: Run) -> None:
    """At once; they come back at different times."""
    services = run.chance.sample(run.programs, 2)
    run.kill(*services)
    for service in services:
        run.look(run.chance.choice((0, 50, 300)))
        run.mesh.start(service)


def kill_in_recovery(run: Run) -> None:
    """Once more before it can be ready, at any moment of its start."""
    service = run.chance.choice(run.programs)
    run.kill(service)
    run.mesh.start(service)
    time.sleep(run.chance.uniform(0.0, 0.8))
    run.kill(service)
    run.mesh.start(service)


def pause(run: Run) -> None:
    run.pause(run.chance.choice(run.programs), run.chance.choice((0.05, 0.3, 1.5)))


STEPS: Final[Mapping[Callable[[Run], None], int]] = {
    one_kill: 12, two_kills: 2, kill_in_recovery: 2, pause: 1,
}  # fmt: skip


def random_kills(run: Run, kills: int) -> None:
    """At least so many."""
    while run.outcome.kills < kills:
        (step,) = run.chance.choices(list(STEPS), list(STEPS.values()))
        step(run)
        run.look(run.chance.choice((0, 20, 200)))
        if run.chance.random() < 0.5:
            run.ready(*run.programs)
            run.progress()
    run.ready(*run.programs)
    run.progress()


def passes(run: Run, name: str) -> int:
    """The how-manieth pass it is to die at; what happens seldom, sooner."""
    if name in ONCE_A_SEGMENT or name == "snapshot.written":
        return 1
    if name == "snapshot.part":
        return run.chance.randint(1, 3)
    if name.startswith("archive."):
        return run.chance.randint(1, 2)
    return run.chance.choice((1, 2, 5, 20, 100))


def failpoints(run: Run, names: Mapping[str, list[str]]) -> None:
    """Let services die at every failpoint, one of each lane at a time: when all die without end,
    nobody comes to where it should die."""
    lanes = [[(s, name) for s in services for name in names[s]] for services in LANES]
    for lane in lanes:
        run.chance.shuffle(lane)
    lanes[-1].sort(key=lambda point: point[1] == "archive.half_told")  # while others come back
    armed: list[tuple[str, str, float] | None] = [None] * len(lanes)
    while any(lanes) or any(armed):
        for i, lane in enumerate(lanes):
            armed[i] = _next_failpoint(run, lane, armed[i])
        seldom = any(a is not None and a[1] in ONCE_A_SEGMENT for a in armed)
        for trader in run.traders:
            trader.burst_max = 30 if seldom else BURST_MAX
        run.look()
    run.ready(*run.programs)
    run.progress()


def _next_failpoint(
    run: Run, lane: list[tuple[str, str]], armed: tuple[str, str, float] | None
) -> tuple[str, str, float] | None:
    """What is armed in a lane after this look: service, failpoint, since when."""
    following = lane[-1][0] if lane else ""
    if armed is not None:
        service, name, since = armed
        if run.mesh.processes[service].poll() is None:
            if time.monotonic() - since > ARMED_S:
                raise StuckError(f"{service} never came to {name}")
            return armed
        run.dead_of(service, name)
        if service != following:
            run.mesh.start(service)
    if not lane:
        return None
    service, name = lane.pop()
    if run.mesh.processes[service].poll() is None:
        run.kill(service)
    run.arm(service, name, passes(run, name))
    return service, name, time.monotonic()


def execute(
    directory: Path,
    seed: int,
    journal: Mapping[str, Any],
    work: Callable[[Run], None],
    tell: Callable[[Outcome], None],
    shards: int = 1,
) -> Outcome:
    """One run; whatever stops it is a finding."""
    run = Run(directory, seed, shards, **journal)
    run.tell = tell
    try:
        with run:
            work(run)
            return run.check()
    except (RuntimeError, OSError) as error:
        run.outcome.findings.add("stuck", str(error))
        return run.outcome
