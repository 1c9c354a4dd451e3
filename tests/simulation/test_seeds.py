"""The exchange keeps its promises under random faults, and each defence is needed for that.

That links take frames in order and once is shown by tests/property/test_link.py: here the ids of
the matcher would turn a reordering into a refusal.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rtes.common import link
from rtes.services.matcher.engine import Engine
from rtes.services.matcher.orders import Participant

from tests.simulation.__main__ import faults_of, run_seed
from tests.simulation.checker import violations
from tests.simulation.disk import FakeJournal
from tests.simulation.network import Faults
from tests.simulation.world import World

ROOT = Path(__file__).parent.parent.parent
SEEDS_IN_CI = 100


def test_no_promise_is_broken() -> None:
    found = {seed: bad for seed in range(SEEDS_IN_CI) if (bad := run_seed(seed)[1])}
    assert found == {}


def test_faults_really_happen() -> None:
    """Twenty seeds: kills, torn blocks, gaps; a simulation of fair weather proves nothing."""
    worlds = [run_seed(seed)[0] for seed in range(20)]
    assert sum(w.kills for w in worlds) > 200
    assert sum(len(c.reports) for w in worlds for c in w.clients) > 2_000
    assert any(faults_of(s).power_loss for s in range(20))


def test_one_seed_is_one_trace_under_any_hash_seed() -> None:
    code = "from tests.simulation.__main__ import run_seed; print(run_seed(7)[0].trace.hexdigest())"
    traces = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(traces) == 1
    assert traces != {""}


def broken(seeds: range, faults: Faults | None = None) -> bool:
    """Does any of the seeds break a promise, or stop a process by an invariant?"""
    for seed in seeds:
        world = World(seed, faults or faults_of(seed))
        try:
            world.run(liveness_ms=1_000)
        except Exception:
            return True
        if violations(world):
            return True
    return False


def _executes_repeats(engine: Engine, p: Participant, command: tuple[Any, ...]) -> None:
    engine._handlers[command[0]](p, command, 10**9 + engine._reporter.exec_id)


def _forgets(self: link.Sender, now_ns: int) -> list[bytes]:
    self._held.clear()
    self.weight = 0
    return []


def _not_synced(self: FakeJournal) -> None:
    pass


DEFENCES: dict[str, tuple[type, str, Any]] = {
    "a repeated cl_ord_id is not executed": (Engine, "_repeat", _executes_repeats),
    "what is held is sent to a new receiver": (link.Sender, "renew", _forgets),
    "nothing is told before it is synced": (FakeJournal, "sync", _not_synced),
    "lost frames are noticed": (link.Sender, "_catch_up", lambda *_: []),
}


@pytest.mark.parametrize("name", DEFENCES)
def test_without_this_defence_a_promise_breaks(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, attribute, replacement = DEFENCES[name]
    faults = Faults(drop=0.02, duplicate=0.05, kill_interval_ms=40, power_loss=0.7, pause=0.1)
    monkeypatch.setattr(owner, attribute, replacement)
    assert broken(range(25), faults)
