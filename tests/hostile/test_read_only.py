"""A full disk: the gateway refuses what opens risk at once, takes cancels, and is not ready."""

from rtes.common import feed
from rtes.common import messages as m
from rtes.common.enums import OrdType, Side
from rtes.common.refusals import CATALOGUE, Code
from rtes.services.gateway import core as gateway

from tests.hostile.edge import PX, Edge


def say(edge: Edge, read_only: bool) -> None:
    """The matcher's disk is full, or no longer; it says so itself."""
    edge.matcher.read_only = read_only
    edge.pass_time(0.25)


def order(cl_ord_id: int) -> m.NewOrderSingle:
    return m.NewOrderSingle(cl_ord_id, "AAPL", Side.BUY, 1, OrdType.LIMIT, PX)


def test_a_read_only_shard_takes_cancels_and_nothing_that_opens_risk() -> None:
    edge = Edge()
    edge.logon("ANN")
    edge.ask("ANN", order(1))
    assert edge.gateway.vitals().ready
    say(edge, read_only=True)
    replace = m.OrderCancelReplaceRequest(3, "AAPL", 1, 1, PX - 1)
    for cl_ord_id, request in ((2, order(2)), (3, replace)):
        seq = edge.matcher.next_seq
        (refusal,) = edge.ask("ANN", request)
        assert isinstance(refusal, m.BusinessMessageReject)
        assert (refusal.cl_ord_id, refusal.reject_code) == (cl_ord_id, Code.READ_ONLY)
        assert refusal.retry_after_ms == 1_000
        assert edge.matcher.next_seq == seq, "it travelled on"
    (canceled,) = edge.ask("ANN", m.OrderCancelRequest(4, "AAPL", 1))
    assert isinstance(canceled, m.ExecutionReport)
    assert canceled.leaves_qty == 0
    assert not edge.gateway.vitals().ready
    say(edge, read_only=False)
    assert edge.gateway.vitals().ready
    (taken,) = edge.ask("ANN", order(5))
    assert isinstance(taken, m.ExecutionReport)
    assert "cancels still work" in CATALOGUE[Code.READ_ONLY].text


def test_only_the_full_shard_is_read_only() -> None:
    """Status frames carry the shard that they speak of."""
    edge = Edge()
    edge.logon("ANN")
    other = feed.status_frame(7, 1, 0, [], read_only=True)
    edge.gateway.receive(gateway.FEED, [other], edge.now_ns, edge.wall_ns)
    assert edge.gateway.vitals().ready
    (taken,) = edge.ask("ANN", order(1))
    assert isinstance(taken, m.ExecutionReport)
