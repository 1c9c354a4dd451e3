"""What answered an account's last requests, against a list of all of them."""

import random

import pytest
from rtes.common.records import Command, Report, encode
from rtes.services.matcher.outcomes import OUTCOMES_KEPT, Outcome, Outcomes

ACCOUNT = 7
LONG = "x" * 1_000


def plain(cl_ord_id: int) -> tuple[Command, Report]:
    command = ("D", ACCOUNT, 0, cl_ord_id, "AAPL", "1", 5, "2", 100)
    return command, ("8", 0, 1, "0", "0", cl_ord_id, 3, 4, "AAPL", "1", 5, 0, 9, 5, 100)


def refused(cl_ord_id: int) -> tuple[Command, Report]:
    return ("G", ACCOUNT, 0, cl_ord_id, "AAPL", 1, 5, 9, 0), ("9", 0, 1, cl_ord_id)


def fill(outcomes: Outcomes, seed: int, count: int) -> list[Outcome]:
    """So many requests in blocks of any size; some of these tell much besides."""
    roll = random.Random(seed)
    told: list[Outcome] = []
    cl_ord_id = 0
    while len(told) < count:
        reports: list[Report] = []
        for _ in range(roll.randint(1, 40)):
            cl_ord_id += roll.randint(1, 3)
            said = roll.random() < 0.7
            command, report = plain(cl_ord_id) if said else refused(cl_ord_id)
            outcomes.took(cl_ord_id, None if said else command, len(reports))
            reports.append(report)
            told.append((cl_ord_id, command, report))
            if roll.random() < 0.1:
                reports += [("r", LONG)] * 10
        outcomes.seal(reports, encode(reports))
    return told


@pytest.mark.parametrize("seed", range(5))
def test_the_last_are_found_and_the_others_are_too_old_or_never_were(seed: int) -> None:
    outcomes = Outcomes(ACCOUNT)
    told = fill(outcomes, seed, 2 * OUTCOMES_KEPT)
    by_id = {outcome[0]: outcome for outcome in told[-OUTCOMES_KEPT:]}
    assert list(outcomes) == list(by_id.values())
    ids = [outcome[0] for outcome in told]
    for cl_ord_id in range(ids[-1] + 1):
        too_old = sum(i > cl_ord_id for i in ids) >= OUTCOMES_KEPT
        assert outcomes.find(cl_ord_id, []) == (by_id.get(cl_ord_id), too_old)


@pytest.mark.parametrize("count", [7, OUTCOMES_KEPT + 50])
def test_those_of_the_present_block_are_found_at_once(count: int) -> None:
    outcomes = Outcomes(ACCOUNT)
    told: dict[int, Outcome] = {}
    reports: list[Report] = []
    for cl_ord_id in range(2, 2 + 2 * count, 2):
        command, report = (plain if cl_ord_id % 3 else refused)(cl_ord_id)
        outcomes.took(cl_ord_id, None if cl_ord_id % 3 else command, len(reports))
        reports += [report, ("r", 0, 1, cl_ord_id)]
        told[cl_ord_id] = (cl_ord_id, command, report)
    kept = dict([*told.items()][-OUTCOMES_KEPT:])
    for cl_ord_id in range(2 * count + 2):
        too_old = sum(i > cl_ord_id for i in told) >= OUTCOMES_KEPT
        assert outcomes.find(cl_ord_id, reports) == (kept.get(cl_ord_id), too_old), cl_ord_id


def test_what_a_block_tells_besides_is_not_kept() -> None:
    outcomes = Outcomes(ACCOUNT)
    command, report = plain(3)
    reports: list[Report] = [*[("r", LONG)] * 100, report]
    outcomes.took(3, None, 100)
    outcomes.seal(reports, encode(reports))
    assert list(outcomes) == [(3, command, report)]
    assert len(outcomes._blocks[0][-1]) < len(LONG)
