"""Checks: schedule, damping, grace, and that a bad check hurts only itself."""

from collections.abc import Callable

import pytest
from rtes.common.checks import (
    Check,
    HealthCheckManager,
    HealthStatus,
    Result,
    healthy_if,
    standing_of,
)

S = 1_000_000_000
H, D, U = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.UNHEALTHY


def answers(*statuses: HealthStatus) -> Callable[[], Result]:
    left = iter(statuses)
    return lambda: Result(next(left))


def at(now_ns: int) -> Callable[[], int]:
    return lambda: now_ns


def manager(*checks: Check) -> HealthCheckManager:
    made = HealthCheckManager(0)
    for check in checks:
        made.register_check(check)
    return made


def seen(check: Check, runs: int) -> list[HealthStatus]:
    """The verdict after each of a number of runs, an interval apart."""
    made = manager(check)
    verdicts = []
    for i in range(runs):
        now_ns = int(i * check.interval_s * S)
        made.run(at(now_ns))
        verdicts.append(made.verdicts(now_ns)[check.name].status)
    return verdicts


def test_a_check_runs_once_per_interval() -> None:
    made = manager(Check("x", answers(H, H, H, H), interval_s=0.5))
    for now_ns in range(0, 2 * S, S // 10):
        made.run(at(now_ns))
    verdict = made.verdicts(2 * S)["x"]
    assert (verdict.passed, verdict.failed) == (4, 0)


def test_before_it_ran_a_check_is_unhealthy() -> None:
    verdict = manager(Check("x", answers(H))).verdicts(0)["x"]
    assert (verdict.status, verdict.detail) == (U, "not run yet")


def test_the_first_result_counts_at_once() -> None:
    assert seen(Check("x", answers(U), fail_after=3), 1) == [U]
    assert seen(Check("x", answers(H), recover_after=3), 1) == [H]


def test_it_turns_worse_after_fail_after_results_in_a_row() -> None:
    check = Check("x", answers(H, U, U, H, U, U, U, U), fail_after=3)
    assert seen(check, 8) == [H, H, H, H, H, H, U, U]


def test_it_turns_better_after_recover_after_results_in_a_row() -> None:
    check = Check("x", answers(U, H, U, H, D, D), recover_after=2)
    assert seen(check, 6) == [U, U, U, U, D, D]


def test_within_its_grace_unhealthy_is_degraded() -> None:
    made = manager(Check("x", lambda: healthy_if(False, "no feed"), startup_grace_s=5))
    made.run(lambda: 0)
    verdict = made.verdicts(2 * S)["x"]
    assert (verdict.status, verdict.detail) == (D, "starting: no feed")
    made.run(lambda: 5 * S)
    assert made.verdicts(5 * S)["x"].status is U


def test_a_check_that_raises_is_unhealthy_and_the_next_still_runs() -> None:
    def broken() -> Result:
        raise KeyError("book")

    made = manager(Check("broken", broken), Check("fine", lambda: healthy_if(True)))
    made.run(lambda: 0)
    verdicts = made.verdicts(0)
    assert (verdicts["broken"].status, verdicts["broken"].detail) == (U, "KeyError: 'book'")
    assert verdicts["fine"].status is H


def test_a_hung_check_is_unhealthy_after_its_timeout_and_is_not_started_again() -> None:
    made = manager(Check("x", answers(H), timeout_s=1), Check("fine", answers(H), timeout_s=1))
    assert [c.name for c in made.due(0)] == ["x", "fine"]
    made.finish("fine", healthy_if(True), 0)
    assert made.verdicts(S)["x"].detail == "not run yet"
    late = made.verdicts(2 * S)
    assert (late["x"].status, late["x"].detail) == (U, "no answer for 2.0 s")
    assert late["fine"].status is H
    assert [c.name for c in made.due(5 * S)] == ["fine"]
    made.finish("x", healthy_if(True), 6 * S)  # too late to count
    assert made.verdicts(6 * S)["x"].status is U
    assert [c.name for c in made.due(6 * S)] == ["x"]
    made.finish("x", healthy_if(True), 6 * S)
    assert made.verdicts(6 * S)["x"].status is H


def test_a_check_that_took_too_long_is_unhealthy() -> None:
    clock = iter([0, 2 * S])
    made = manager(Check("x", lambda: healthy_if(True), timeout_s=1))
    made.run(lambda: next(clock))
    assert made.verdicts(2 * S)["x"].detail == "took 2.00 s, more than 1 s"


def test_a_result_does_not_stay_good_when_nobody_runs_checks_any_more() -> None:
    made = manager(Check("x", lambda: healthy_if(True), interval_s=1, timeout_s=1))
    made.run(lambda: 0)
    assert made.verdicts(4 * S)["x"].status is H
    verdict = made.verdicts(4 * S + 1)["x"]
    assert (verdict.status, verdict.detail) == (U, "not run for 4.0 s")


def test_runs_are_counted() -> None:
    made = manager(Check("x", answers(H, D, U), interval_s=1))
    for now_ns in (0, S, 2 * S):
        made.run(at(now_ns))
    verdict = made.verdicts(2 * S)["x"]
    assert (verdict.passed, verdict.failed) == (2, 1)


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="x already"):
        manager(Check("x", answers(H)), Check("x", answers(H)))


def test_only_a_critical_check_makes_a_service_unhealthy() -> None:
    assert standing_of([(H, True), (U, False)]) is D
    assert standing_of([(H, False), (U, True)]) is U
    assert standing_of([(D, True)]) is D
    assert standing_of([]) is H
