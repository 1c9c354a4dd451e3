"""The exchange keeps its promises under random faults, and each defence is needed for that."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.defences import DEFENCES
from tests.simulation.runs import Outcome, broken, outcomes
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.world import World

ROOT = Path(__file__).parent.parent.parent
SEEDS = 1_000
SEEDS_WITHOUT_DEFENCE = 40
TRACE = """
from tests.simulation.faults import faults_of
from tests.simulation.world import World, size_of
for seed in (7, 8):
    world = World(seed, faults_of(seed), size_of(seed))
    world.run()
    print(world.trace.hexdigest())
"""


@pytest.fixture(scope="module")
def swarm() -> list[Outcome]:
    with outcomes(range(SEEDS), len(os.sched_getaffinity(0))) as done:
        return list(done)


@pytest.mark.timeout(900)  # a minute on two idle cores
def test_no_promise_is_broken(swarm: list[Outcome]) -> None:
    assert [(o.seed, o.found[:3]) for o in swarm if o.found] == []


@pytest.mark.timeout(900)
def test_faults_really_happen(swarm: list[Outcome]) -> None:
    """A simulation of fair weather proves nothing."""
    deaths = sum((Counter(o.deaths) for o in swarm), Counter[str]())
    assert sum(o.kills for o in swarm) >= 20 * SEEDS
    assert deaths["inside"] > 2 * SEEDS  # killed with a batch half done
    assert deaths["power loss"] > SEEDS
    assert deaths["disk full"] > SEEDS // 20
    assert sum(o.deaths["torn"] > 0 for o in swarm) > SEEDS // 20
    assert sum(o.snapshots for o in swarm) > 2 * SEEDS
    assert sum(o.orders for o in swarm) > 100 * SEEDS


def test_one_seed_is_one_trace_under_any_hash_seed() -> None:
    traces = [
        subprocess.run(
            [sys.executable, "-c", TRACE],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for hash_seed in ("1", "2")
    ]
    assert traces[0] == traces[1]
    assert len(set(traces[0])) == 2


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_scenario(scenario: Callable[[], list[str]]) -> None:
    assert scenario() == []


@pytest.mark.parametrize("name", DEFENCES)
def test_without_this_defence_a_promise_breaks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    defence = DEFENCES[name]
    for owner, attribute, replacement in defence.changes:
        monkeypatch.setattr(owner, attribute, replacement)
    if defence.scenario is not None:
        assert found_by(defence.scenario)
    else:
        seeds = range(SEEDS_WITHOUT_DEFENCE)
        assert any(broken(World(seed, defence.faults)) for seed in seeds)


def found_by(run: Callable[[], list[str]]) -> list[str]:
    """What a run finds; a process that stops by an invariant has found something too."""
    try:
        return run()
    except Exception as error:
        return [repr(error)]
