"""What a gateway makes of a message for risk and the matcher."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple
from rtes.common import messages as m
from rtes.common.enums import ExecInst, OrdType, Side, SmpInstruction, TimeInForce
from rtes.common.records import D_DEFAULTS, decode_commands, encode, whole
from rtes.services.gateway.lanes import Lane
from rtes.services.gateway.routes import ROUTES, command_of

PLAIN = m.NewOrderSingle(7, "AAPL", Side.SELL, 5, OrdType.LIMIT, 101)


def decoded(message: m.Inbound) -> tuple[Any, ...]:
    """The command as risk and the matcher read it."""
    command = command_of(ROUTES[type(message)], 3, 1_000, message)
    return decode_commands(encode([command]))[0]


def test_a_plain_order_ends_with_its_price() -> None:
    assert decoded(PLAIN) == ("D", 3, 1_000, 7, "AAPL", "2", 5, "2", 101)
    assert whole(decoded(PLAIN)) == ("D", 3, 1_000, *astuple(PLAIN))
    assert astuple(PLAIN)[-len(D_DEFAULTS) :] == D_DEFAULTS


FEW = st.integers(0, 2)
AFTER_PRICE = st.tuples(
    st.sampled_from(TimeInForce), FEW, st.sampled_from(ExecInst), FEW, FEW, FEW, FEW,
    st.sampled_from(SmpInstruction),
)  # fmt: skip


@given(AFTER_PRICE)
def test_no_field_of_an_order_is_lost(fields: tuple[Any, ...]) -> None:
    order = m.NewOrderSingle(*astuple(PLAIN)[: -len(fields)], *fields)
    assert whole(decoded(order)) == ("D", 3, 1_000, *astuple(order))


@pytest.mark.parametrize(
    "message",
    [
        m.OrderCancelRequest(8, "AAPL", 7),
        m.OrderCancelReplaceRequest(8, "AAPL", 7, 5, 101),
        m.OrderStatusRequest(8, "AAPL", 7),
    ],
    ids=lambda message: type(message).__name__,
)
def test_other_requests_keep_all_their_fields(message: m.Inbound) -> None:
    assert decoded(message)[3:] == astuple(message)


def test_a_frame_says_a_time_once() -> None:
    lane = Lane(0, 1)
    cancel = m.OrderCancelRequest(8, "AAPL", 7)
    for wall_ns in (1_000, 1_000, 1_001, 1_001):
        lane.put(command_of(ROUTES[m.OrderCancelRequest], 3, lane.stamp(wall_ns), cancel))
    assert [command[2] for command in lane.batch] == [1_000, 0, 1_001, 0]
    lane.batch.clear()
    assert lane.stamp(1_001) == 1_001  # a frame of its own
