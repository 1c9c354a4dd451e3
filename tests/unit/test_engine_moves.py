"""What risk is told of an order, beside the reports that its owner gets."""

from collections.abc import Callable
from typing import Any

import pytest
from rtes.common import moves
from rtes.common.moves import decode_moves

from tests.unit.enginedesk import ANN, BOB, OPS, Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def moved(desk: Desk, account: int) -> list[tuple[Any, ...]]:
    """The moves of the last command."""
    told = [n for chunk in desk.chunks if chunk[0] == account for n in decode_moves(chunk[5])]
    found = []
    while told:
        length = moves.LENGTHS[told[0]]
        found.append(tuple(told[:length]))
        del told[:length]
    return found


def test_an_order_opens_and_closes(desk: Desk) -> None:
    order = desk.buy(ANN, 5, 100)
    assert moved(desk, ANN) == [(moves.OPENED, order, "AAPL", 5, 100)]
    cancel = desk.cancel(ANN, order)
    assert moved(desk, ANN) == [(moves.CLOSED, cancel, order)]


def test_both_sides_of_a_trade(desk: Desk) -> None:
    resting, active = desk.sell(ANN, 5, 100), desk.buy(BOB, 3, 101)
    assert moved(desk, BOB) == [
        (moves.OPENED, active, "AAPL", 3, 101),
        (moves.TRADED, active, "AAPL", 0, 3, 100, 1),
    ]
    assert moved(desk, ANN) == [(moves.TRADED, resting, "AAPL", 2, 3, 100, 1)]


def test_what_a_market_order_leaves_closes_it(desk: Desk) -> None:
    order = desk.buy(ANN, 5, ord_type="1", tif="3")
    opened = (moves.OPENED, order, "AAPL", 5, 0)
    assert moved(desk, ANN) == [opened, (moves.CLOSED, order, order)]


def test_a_replace_names_the_order_as_it_was(desk: Desk) -> None:
    order = desk.buy(ANN, 5, 100)
    smaller = desk.replace(ANN, order, 4, 100)
    assert moved(desk, ANN) == [(moves.REPLACED, smaller, order, 4, 0, 100)]
    desk.sell(BOB, 1, 100)
    moving = desk.replace(ANN, smaller, 6, 99)
    assert moved(desk, ANN) == [(moves.REPLACED, moving, smaller, 5, 1, 99)]


def test_an_order_that_self_match_prevention_makes_smaller(desk: Desk) -> None:
    resting = desk.sell(ANN, 5, 100, smp_id=7)
    active = desk.buy(ANN, 3, 100, smp_id=7, smp=4)
    opened = (moves.OPENED, active, "AAPL", 3, 100)
    changed = (moves.CHANGED, resting, 2, 0, 100)
    assert moved(desk, ANN) == [opened, changed, (moves.CLOSED, active, active)]


def test_what_became_of_no_order_is_answered(desk: Desk) -> None:
    requests: list[Callable[[], int]] = [
        lambda: desk.cancel(ANN, 99),
        lambda: desk.buy(ANN, 5, 100, symbol="NONE"),
        lambda: desk.ask("q", ANN, "7", "", ""),
        lambda: desk.send(("F", ANN, 0, 1, "AAPL", 1)),  # an id that was used
    ]
    for request in requests:
        answered = request()
        assert moved(desk, ANN) == [(moves.ANSWERED, answered)]


def test_a_repeat_opens_nothing(desk: Desk) -> None:
    terms = ("AAPL", "1", 5, "2", 100, "0", 0, "", 0, 0, 0, 0, 1)
    order = desk.ask("D", ANN, *terms)
    desk.send(("D", ANN, 0, order, *terms))
    assert moved(desk, ANN) == [(moves.ANSWERED, order)]


def test_questions_and_logons_move_nothing(desk: Desk) -> None:
    order = desk.buy(ANN, 5, 100)
    desk.ask("H", ANN, "AAPL", order)
    assert moved(desk, ANN) == []
    desk.send(("A", ANN, 0, 0, 0, 1, 0, 30, 0, 1))
    assert moved(desk, ANN) == []


def test_an_order_that_the_kill_switch_canceled(desk: Desk) -> None:
    order = desk.buy(ANN, 5, 100)
    desk.ask("DH", OPS, 1, "ANN", "", 0, ANN)
    assert moved(desk, ANN) == [(moves.CLOSED, order, order)]
