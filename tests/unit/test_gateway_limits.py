"""The gateway's limits: what is full, what the throttle leaves, what a reload changes."""

import pytest
from rtes.common import messages as m
from rtes.common.config_schema import Session
from rtes.common.messages import BATCH_MESSAGES_MAX
from rtes.common.refusals import Code
from rtes.services.gateway.limits import GatewayLimits
from rtes.services.gateway.routes import ROUTES

ORDER, CANCEL = ROUTES[m.NewOrderSingle], ROUTES[m.OrderCancelRequest]


@pytest.fixture
def limits() -> GatewayLimits:
    return GatewayLimits.of(Session(credit=100, messages_per_s_max=5_000))


def test_the_throttle_leaves_a_share_and_gives_it_back(limits: GatewayLimits) -> None:
    limits.throttle(True)
    assert (limits.messages_per_s_max, limits.burst) == (500, 500)
    limits.throttle(True)
    assert limits.messages_per_s_max == 500
    limits.throttle(False)
    assert (limits.messages_per_s_max, limits.burst) == (5_000, 5_000)


def test_a_reload_does_not_lift_the_throttle(limits: GatewayLimits) -> None:
    limits.throttle(True)
    limits.reload(
        Session(credit=7, messages_per_s_max=1_000, throttled_share=0.5, heart_bt_int_max=60)
    )
    assert (limits.credit, limits.messages_per_s_max, limits.heart_bt_int_max) == (7, 500, 60)
    limits.throttle(False)
    assert limits.messages_per_s_max == 1_000


def test_the_smallest_share_is_one_message_and_a_whole_batch_at_once() -> None:
    limits = GatewayLimits.of(Session(messages_per_s_max=3))
    limits.throttle(True)
    assert (limits.messages_per_s_max, limits.burst) == (1, BATCH_MESSAGES_MAX)


@pytest.mark.parametrize(
    ("held", "in_flight", "fair", "limit"),
    [
        (0, 99, True, None),
        (8_191, 99, True, None),  # less than half full
        (8_192, 24, True, None),
        (8_192, 25, True, 25),
        (8_192, 25, False, None),
        (8_192, 100, True, 100),
        (14_746, 0, False, 16_384),  # 90 % of the window
    ],
)
def test_a_fair_session_holds_back_in_a_lane_that_is_half_full(
    limits: GatewayLimits, held: int, in_flight: int, fair: bool, limit: int | None
) -> None:
    full = limits.full(held, in_flight, ORDER, fair)
    assert (full and full.limit) == limit
    assert full is None or (full.code is Code.BUSY and full.retry_after_ms > 0)
    assert limits.full(held, min(in_flight, 199), CANCEL, fair) is None
