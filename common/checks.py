"""Health checks: registered once, run on a schedule, judged with damping. Pure.

A check is a function that says how something is. What raises or does not return in time is
unhealthy, and hurts no other check. A verdict turns worse after fail_after results in a row and
better after recover_after; probes read verdicts, they never run a check.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

STALE_INTERVALS: Final = 3  # without a result for this long, a check says nothing any more
DETAIL_CHARACTERS_MAX: Final = 200
LAG_COMMANDS_MAX: Final = 100_000  # some seconds of full load
_S: Final = 1_000_000_000


class HealthStatus(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


_BADNESS: Final = {HealthStatus.HEALTHY: 0, HealthStatus.DEGRADED: 1, HealthStatus.UNHEALTHY: 2}


class Result(NamedTuple):
    """What a check's function returns. detail is for people: what was seen, with its unit."""

    status: HealthStatus
    detail: str = ""


def healthy_if(ok: bool, detail: str = "") -> Result:
    """Healthy or unhealthy."""
    return Result(HealthStatus.HEALTHY if ok else HealthStatus.UNHEALTHY, detail)


def lag_result(commands: int) -> Result:
    """Of a follower that is so many commands behind its matcher."""
    status = HealthStatus.DEGRADED if commands > LAG_COMMANDS_MAX else HealthStatus.HEALTHY
    return Result(status, f"{commands} commands behind")


def worst(statuses: Iterable[HealthStatus]) -> HealthStatus:
    """The worst of them; healthy when there are none."""
    return max(statuses, key=_BADNESS.__getitem__, default=HealthStatus.HEALTHY)


@dataclass(frozen=True)
class Check:
    """One check. An unhealthy critical check makes its service unhealthy, any other degraded.

    groups select checks in /health/GROUP. Within startup_grace_s unhealthy counts as degraded."""

    name: str
    function: Callable[[], Result]
    interval_s: float = 1.0
    timeout_s: float = 1.0
    critical: bool = False
    groups: tuple[str, ...] = ()
    startup_grace_s: float = 0.0
    fail_after: int = 1
    recover_after: int = 1


class Verdict(NamedTuple):
    """A check's standing."""

    status: HealthStatus
    detail: str
    critical: bool
    groups: tuple[str, ...]
    passed: int  # runs so far that were healthy or degraded
    failed: int

    def wire(self) -> dict[str, Any]:
        """As a snapshot carries it to health."""
        return self._asdict()


@dataclass
class _Standing:
    check: Check
    registered_ns: int
    due_ns: int
    begun_ns: int | None = None  # a run that has not ended
    ended_ns: int | None = None
    timed_out: bool = False
    shown: Result = field(default=Result(HealthStatus.UNHEALTHY, "not run yet"))
    run_of: int = 0  # results in a row that point the same way, away from what is shown
    worse: bool = False
    passed: int = 0
    failed: int = 0

    def take(self, result: Result, now_ns: int) -> None:
        if result.status is HealthStatus.UNHEALTHY:
            self.failed += 1
        else:
            self.passed += 1
        if self.ended_ns is None or result.status is self.shown.status:
            self.shown, self.run_of = result, 0
        else:
            worse = _BADNESS[result.status] > _BADNESS[self.shown.status]
            self.run_of = self.run_of + 1 if worse is self.worse else 1
            self.worse = worse
            if self.run_of >= (self.check.fail_after if worse else self.check.recover_after):
                self.shown, self.run_of = result, 0
        self.ended_ns = now_ns


class HealthCheckManager:
    """Holds checks and their standing. Somebody else runs what is due: the loop of a service
    at once, in its own thread (`run`), health each in a thread of its own."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self._standings: dict[str, _Standing] = {}

    def register_check(self, check: Check) -> None:
        """Raises ValueError when the name is taken."""
        if check.name in self._standings:
            raise ValueError(f"there is a check named {check.name} already")
        self._standings[check.name] = _Standing(check, self._now_ns, self._now_ns)

    def due(self, now_ns: int) -> list[Check]:
        """What is to be run now; a check that still runs is not started again. Whoever takes
        the list calls `finish` for each."""
        self._expire(now_ns)
        checks = []
        for standing in self._standings.values():
            if standing.begun_ns is None and now_ns >= standing.due_ns:
                standing.begun_ns = now_ns
                standing.due_ns = now_ns + int(standing.check.interval_s * _S)
                checks.append(standing.check)
        return checks

    def finish(self, name: str, result: Result, now_ns: int) -> None:
        """A run ended. A result that comes after its timeout was already judged."""
        standing = self._standings[name]
        if standing.begun_ns is None:
            return
        timeout_s = standing.check.timeout_s
        if not standing.timed_out and now_ns - standing.begun_ns > timeout_s * _S:
            took_s = (now_ns - standing.begun_ns) / _S
            late = f"took {took_s:.2f} s, more than {timeout_s:g} s"
            result = Result(HealthStatus.UNHEALTHY, late)
        if not standing.timed_out:
            standing.take(result, now_ns)
        standing.begun_ns, standing.timed_out = None, False

    def run(self, clock_ns: Callable[[], int]) -> None:
        """Run what is due, one after the other, here."""
        for check in self.due(clock_ns()):
            self.finish(check.name, outcome_of(check), clock_ns())

    def _expire(self, now_ns: int) -> None:
        for standing in self._standings.values():
            timeout_s = standing.check.timeout_s
            begun_ns = standing.begun_ns
            if begun_ns is not None and now_ns - begun_ns > timeout_s * _S:
                late = f"no answer for {(now_ns - begun_ns) / _S:.1f} s"
                if not standing.timed_out:
                    standing.take(Result(HealthStatus.UNHEALTHY, late), now_ns)
                elif standing.shown.status is HealthStatus.UNHEALTHY:
                    standing.shown = Result(HealthStatus.UNHEALTHY, late)
                standing.timed_out = True

    def verdicts(self, now_ns: int) -> dict[str, Verdict]:
        """The standing of every check, in the order of registration."""
        self._expire(now_ns)
        return {name: _verdict(s, now_ns) for name, s in self._standings.items()}


def _verdict(standing: _Standing, now_ns: int) -> Verdict:
    check, (status, detail) = standing.check, standing.shown
    since_ns = standing.registered_ns if standing.ended_ns is None else standing.ended_ns
    silent_s_max = STALE_INTERVALS * check.interval_s + check.timeout_s
    if standing.begun_ns is None and now_ns - since_ns > silent_s_max * _S:
        status, detail = HealthStatus.UNHEALTHY, f"not run for {(now_ns - since_ns) / _S:.1f} s"
    in_grace = now_ns - standing.registered_ns < check.startup_grace_s * _S
    if status is HealthStatus.UNHEALTHY and in_grace:
        status, detail = HealthStatus.DEGRADED, f"starting: {detail}"
    counts = standing.passed, standing.failed
    return Verdict(status, detail, check.critical, check.groups, *counts)


def outcome_of(check: Check) -> Result:
    """Run the check's function; what it raises is its result."""
    try:
        status, detail = check.function()
    except Exception as error:  # whatever it is, it is this check's and nobody else's
        said = f"{type(error).__name__}: {error}"[:DETAIL_CHARACTERS_MAX]
        return Result(HealthStatus.UNHEALTHY, said)
    return Result(status, detail[:DETAIL_CHARACTERS_MAX])


def standing_of(verdicts: Iterable[tuple[HealthStatus, bool]]) -> HealthStatus:
    """What (status, critical) of all its checks make of a service: only a critical check can
    make it unhealthy."""
    return worst(
        HealthStatus.DEGRADED if status is HealthStatus.UNHEALTHY and not critical else status
        for status, critical in verdicts
    )
