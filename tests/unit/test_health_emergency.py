"""The emergency's triggers: they debounce, fire once, and a blind one is an alarm."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rtes.common.checks import HealthStatus
from rtes.common.config import load
from rtes.services.health import machine
from rtes.services.health.emergency import EmergencyShutdown, Outcome
from rtes.services.health.shell import Aggregator

from tests.aggregators import Ahead, poll_until

S = 1_000_000_000


def emergency(
    holds: Callable[[], bool], sustained_s: float = 30
) -> tuple[EmergencyShutdown, list[str]]:
    """It stops at once; the reasons it gave."""
    reasons: list[str] = []

    def act(reason: str) -> Outcome:
        reasons.append(reason)
        return lambda: ""

    made = EmergencyShutdown(act)
    made.register_trigger("high_memory", holds, sustained_s)
    return made, reasons


def test_it_fires_once_when_it_held_for_its_time() -> None:
    made, reasons = emergency(lambda: True)
    for second in range(30):
        made.step(second * S)
    assert reasons == []
    for second in range(30, 90):
        made.step(second * S)
    assert reasons == ["high_memory for 30 s"]
    assert made.result().status is HealthStatus.DEGRADED


def test_a_spike_fires_nothing() -> None:
    seconds = iter(range(1_000))
    made, reasons = emergency(lambda: next(seconds) % 30 != 29)
    for second in range(900):
        made.step(second * S)
    assert reasons == []


def test_it_is_armed_again_when_it_no_longer_holds() -> None:
    state = {"holds": True}
    made, reasons = emergency(lambda: state["holds"], 0)
    made.step(0)
    state["holds"] = False
    made.step(S)
    assert made.result().status is HealthStatus.HEALTHY
    state["holds"] = True
    made.step(2 * S)
    assert len(reasons) == 2


def test_a_trigger_that_raises_is_an_alarm_and_the_others_still_work() -> None:
    made, reasons = emergency(lambda: 1 / 0 > 0)
    made.register_trigger("high_error_rate", lambda: True, 0)
    made.step(0)
    assert reasons == ["high_error_rate for 0 s"]
    result = made.result()
    assert result.status is HealthStatus.UNHEALTHY
    assert result.detail == "high_memory is blind: ZeroDivisionError: division by zero"


def test_what_did_not_stop_is_an_alarm_and_tried_again_after_a_while() -> None:
    state: dict[str, str | None] = {"outcome": None}
    reasons: list[str] = []

    def act(reason: str) -> Outcome:
        reasons.append(reason)
        return lambda: state["outcome"]

    made = EmergencyShutdown(act)
    made.register_trigger("high_memory", lambda: True, 0)
    for second in range(3):  # it goes on
        made.step(second * S)
    assert made.result() == (HealthStatus.DEGRADED, "high_memory fires")
    state["outcome"] = "exit code 1"
    for second in range(3, 13):
        made.step(second * S)
        failed = made.result()
        assert failed.status is HealthStatus.UNHEALTHY
        assert failed.detail == "high_memory did not stop trading: exit code 1"
    assert len(reasons) == 1
    made.step(13 * S)
    assert reasons == ["high_memory for 0 s", "high_memory for 13 s"]
    state["outcome"] = ""
    for second in range(14, 60):
        made.step(second * S)
    assert len(reasons) == 2
    assert made.result() == (HealthStatus.DEGRADED, "high_memory fired")


def test_by_hand_it_stops_at_once() -> None:
    made, reasons = emergency(lambda: False)
    made.initiate_emergency_shutdown("Critical system error detected")
    assert reasons == ["Critical system error detected"]


def test_health_calls_the_operators_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory of the control group is full: without a gateway to reach, the command says so."""
    file = tmp_path / "config.json"
    tree = {"environment": "dev", "mesh": {"run_dir": str(tmp_path / "run")}}
    file.write_text(json.dumps(tree))
    config = load(file, {})
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setattr(machine, "memory_ratio", lambda: 0.96)
    clock = Ahead()
    aggregator = Aggregator(config, [], clock, {})
    aggregator.poll([])
    clock.ahead_ns = 31 * S
    poll_until(
        aggregator, "emergency_triggers", "high_memory did not stop trading: exit code 1"
    )
