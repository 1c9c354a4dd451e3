"""The circuit breaker of a lane: a table of what it does, and what holds whatever happens."""

from hypothesis import given
from hypothesis import strategies as st
from rtes.services.gateway.breaker import OPEN_AFTER_NS, PROBES, Breaker, State

TICK_NS = 50_000_000
TICKS_TO_OPEN = OPEN_AFTER_NS // TICK_NS


class Driver:
    """A breaker, stepped every tick."""

    def __init__(self) -> None:
        self.breaker = Breaker()
        self.now_ns = 10**15

    def steps(self, count: int, acked: int, waiting: int) -> State:
        for _ in range(count):
            self.now_ns += TICK_NS
            state = self.breaker.step(self.now_ns, acked, waiting)
        return state


def opened(waiting: int = 5) -> Driver:
    driver = Driver()
    driver.steps(10, 7, 0)
    assert driver.steps(TICKS_TO_OPEN - 1, 7, waiting) is State.CLOSED
    assert driver.steps(1, 7, waiting) is State.OPEN
    return driver


def test_it_opens_when_something_waits_and_nothing_moves() -> None:
    driver = opened()
    assert not driver.breaker.admits()
    assert driver.steps(10_000, 7, 9) is State.OPEN


def test_idle_is_not_standing_still() -> None:
    assert Driver().steps(10_000, 7, 0) is State.CLOSED


def test_slow_is_not_standing_still() -> None:
    driver = Driver()
    for acked in range(100):
        assert driver.steps(TICKS_TO_OPEN - 1, acked, 1_000) is State.CLOSED


def test_half_open_it_takes_a_few_orders_per_step_and_closes_when_the_backlog_is_done() -> None:
    driver = opened(waiting=5)
    assert driver.steps(1, 8, 4) is State.HALF_OPEN
    assert [driver.breaker.admits() for _ in range(PROBES + 2)] == [True] * PROBES + [False] * 2
    assert driver.steps(1, 9, 3 + PROBES) is State.HALF_OPEN
    assert driver.breaker.admits()
    assert driver.steps(1, 11, 2 + PROBES) is State.HALF_OPEN
    assert driver.steps(1, 12, PROBES) is State.CLOSED  # the probes themselves need not be done


def test_half_open_it_opens_again_when_nothing_moves_any_more() -> None:
    driver = opened(waiting=5)
    driver.steps(1, 8, 4)
    assert driver.steps(TICKS_TO_OPEN - 1, 8, 4) is State.HALF_OPEN
    assert driver.steps(1, 8, 4) is State.OPEN
    assert not driver.breaker.admits()


def test_a_gateway_that_stood_still_itself_blames_nobody() -> None:
    driver = Driver()
    driver.steps(1, 7, 0)
    driver.now_ns += 100 * OPEN_AFTER_NS
    assert driver.steps(1, 7, 5) is State.CLOSED


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 3), st.integers(0, 5))))
def test_it_is_never_open_without_a_reason_and_always_closes(
    story: list[tuple[int, int, int]],
) -> None:
    """story: (ticks, then acknowledged, then waiting)."""
    driver, acked = Driver(), 0
    for ticks, more, waiting in story:
        acked += more
        state = driver.steps(ticks + 1, acked, waiting)
        if more and ticks < TICKS_TO_OPEN:
            assert state is not State.OPEN
        if not waiting:
            assert state is not State.OPEN
    driver.steps(3, acked, 0)
    assert driver.breaker.state is State.CLOSED
