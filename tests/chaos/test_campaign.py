"""A short campaign of random kills, and every failpoint passed once for real. What the checker is
to find is put into the evidence of a run that was clean, and it finds it.
"""

import shutil
from functools import partial
from pathlib import Path

import pytest
from rtes.common import loop
from rtes.common import messages as m
from rtes.common.config import checkout
from rtes.common.enums import ExecType

from tests.chaos import campaign
from tests.chaos.campaign import EVERYTHING, FAILPOINTS, NAMES, Run
from tests.chaos.checker import KINDS, Findings, check_all, check_limit, check_order
from tests.chaos.trader import Diary
from tests.meshes import Numbered, told

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(600)]
KILLS = 12


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with kills that has ended and was checked."""
    run = Run(tmp_path_factory.mktemp("kills"), seed=7, durability="always")
    with run:
        for service in EVERYTHING:
            campaign.one_kill(run, service)
        campaign.random_kills(run, KILLS)
        run.check()
    return run


def test_nothing_is_lost_or_done_twice(killed: Run) -> None:
    outcome = killed.outcome
    assert outcome.findings.texts == []
    assert outcome.kills >= KILLS
    assert all(outcome.ready_ms.values())
    assert outcome.orders > 100 * len(NAMES)
    assert set(outcome.summary()) >= set(KINDS)


def test_nothing_is_lost_over_two_shards_of_each(tmp_path: Path) -> None:
    """Both gateways, risk and matcher shards have work, and each of the second ones dies."""
    run = Run(tmp_path, seed=8, shards=2, durability="always")
    with run:
        for service in EVERYTHING:
            campaign.one_kill(run, f"{service}1")
        run.progress()
        outcome = run.check()
    assert outcome.findings.texts == []
    assert outcome.kills == len(EVERYTHING)
    for shard in ("0", "1"):
        journal = told(run.mesh, run.kept / shard)
        assert all(len(journal[name]) > 50 for name in NAMES)
    endpoints = {trader.client.endpoint for trader in run.traders}
    assert len(endpoints) == 2


def test_every_failpoint_is_passed(tmp_path: Path) -> None:
    """Run.dead_of sees to it that each process ended there, by SIGKILL."""
    outcome = campaign.execute(
        tmp_path, 3, {"durability": "always", "retention": "snapshots"},
        partial(campaign.failpoints, names=FAILPOINTS), lambda outcome: None,
    )  # fmt: skip
    assert outcome.findings.texts == []
    assert outcome.deaths == {name: 1 for listed in FAILPOINTS.values() for name in listed}
    assert len(outcome.deaths) >= 24


def test_the_page_names_every_failpoint() -> None:
    page = (checkout() / "docs" / "reliability.md").read_text()
    listed = [name for names in FAILPOINTS.values() for name in names]
    assert f"{len(listed)} named failpoints" in page
    of_all = {f"{service}.{point}" for service in EVERYTHING for point in loop.FAILPOINTS}
    for name in (*loop.FAILPOINTS, *sorted({*listed} - of_all)):
        assert f"`{name}`" in page


def recheck(run: Run, diary: Path) -> Findings:
    """The run's evidence again, with another diary of the first participant."""
    diaries = {name: Diary(run.mesh.logs / f"{name}.told") for name in NAMES}
    diaries[NAMES[0]] = Diary(diary)
    return check_all(run.mesh, diaries, run.kept)


def tampered(run: Run, tmp_path: Path, line: int, *instead: bytes) -> Path:
    """A copy of the first participant's diary with a line replaced."""
    path = tmp_path / "told"
    shutil.copy(run.mesh.logs / f"{NAMES[0]}.told", path)
    lines = path.read_bytes().splitlines()
    lines[line : line + 1 or None] = instead
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_the_checker_finds_what_a_diary_should_not_say(killed: Run, tmp_path: Path) -> None:
    own = (killed.mesh.logs / f"{NAMES[0]}.told").read_bytes().splitlines()
    at = next(i for i, line in enumerate(own) if line.startswith(b'["8"'))
    assert recheck(killed, tampered(killed, tmp_path, at, own[at])).counts == {}
    assert recheck(killed, tampered(killed, tmp_path, at)).counts == {"lost": 1}
    other = own[at].replace(b'"AAPL"', b'"MSFT"').replace(b"58", b"59", 1)
    assert recheck(killed, tampered(killed, tmp_path, at, other)).counts["contradictory"] == 1
    assert recheck(killed, tampered(killed, tmp_path, at, own[at], other)).counts == {
        "contradictory": 1
    }
    assert recheck(killed, tampered(killed, tmp_path, -1)).counts == {"stuck": 1}


def test_the_checker_finds_what_a_journal_should_not_say(killed: Run) -> None:
    journal: list[Numbered] = told(killed.mesh, killed.kept / "0")[NAMES[0]]
    new = [r for r in journal if isinstance(r, m.ExecutionReport) and r.exec_type is ExecType.NEW]
    found = Findings()
    check_order(found, "", [*journal, new[0]])
    check_order(found, "", [new[1], new[0], *new[2:]])
    check_limit(found, "", journal, 1)
    assert found.counts["executed_twice"] == found.counts["reordered"] == 1
    assert found.counts["limit_breached"] > 0
