"""The emergency's triggers: they debounce, fire once, and a blind one is an alarm."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rtes.common.checks import HealthStatus
from rtes.common.clock import Clock
from rtes.common.config import load
from rtes.services.health import machine
from rtes.services.health.emergency import EmergencyShutdown
from rtes.services.health.shell import Aggregator

S = 1_000_000_000


def emergency(
    holds: Callable[[], bool], sustained_s: float = 30
) -> tuple[EmergencyShutdown, list[str]]:
    reasons: list[str] = []
    made = EmergencyShutdown(reasons.append)
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

    class Later(Clock):
        offset_ns = 0

        def monotonic_ns(self) -> int:
            return super().monotonic_ns() + self.offset_ns

    clock = Later()
    aggregator = Aggregator(config, [], clock, {})
    aggregator.poll([])
    assert aggregator.stopping is None
    clock.offset_ns = 31 * S
    aggregator.poll([])
    stopping = aggregator.stopping
    assert stopping is not None
    words = list(map(str, stopping.args))
    assert words[3:6] == ["emergency", "cancel-only", "--reason"]
    assert words[6].startswith("high_memory for 3")
    assert stopping.wait(60) == 1
