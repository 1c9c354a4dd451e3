"""What was sent before: the original outcome byte for byte, or a clear no; never a second order."""

import pytest
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.enums import MassCancelType, Side
from rtes.common.refusals import Code

from tests.hostile.edge import Edge
from tests.hostile.peers import Peer, order

pytestmark = pytest.mark.mesh


def told(edge: Edge, request: m.Inbound) -> tuple[int, int, int]:
    (report,) = edge.ask("ANN", request)
    assert isinstance(report, m.ExecutionReport)
    return report.reject_code, report.limit, report.value


def open_orders(edge: Edge, cl_ord_id: int) -> int:
    *_, report = edge.ask("ANN", m.OrderMassStatusRequest(cl_ord_id))
    assert isinstance(report, m.OrderMassStatusReport)
    return report.tot_num_reports


def test_a_replayed_order_gets_its_original_outcome_byte_for_byte(mesh: Mesh) -> None:
    """Also on another connection, after the order was changed, and from a batch."""
    with Peer(mesh, "BOT01") as peer, Peer(mesh, "BOT01") as later:
        last = peer.last_id()
        first = m.encode(order(last + 1))
        refused = m.encode(order(last + 2, price=1))
        outcomes = []
        for frame in (first, refused):
            peer.send(frame)
            outcomes.append(peer.receive_frame())
        peer.ask(m.OrderCancelReplaceRequest(last + 3, "AAPL", last + 1, 2, 58_000))
        for frame, outcome in zip((first, refused), outcomes, strict=True):
            peer.send(frame)
            assert peer.receive_frame() == outcome
        later.last_id()
        later.send(first)
        assert later.receive_frame() == outcomes[0]
        later.send(m.OrderMassCancelRequest(last + 4, MassCancelType.ALL))
        report = later.until(m.OrderMassCancelReport)[-1]
        assert isinstance(report, m.OrderMassCancelReport)
        assert report.total_affected_orders == 1


def test_the_same_id_with_another_body_is_refused_and_the_original_stands() -> None:
    edge = Edge()
    edge.logon("ANN")
    assert told(edge, order(1, 990))[0] == Code.OK
    for other in (order(1, 991), order(1, 990, Side.SELL)):
        assert told(edge, other) == (Code.ID_REUSED, 1, 1)
    assert told(edge, order(1, 990))[0] == Code.OK
    assert open_orders(edge, 2) == 1


def test_an_id_that_was_skipped_is_out_of_order_for_ever() -> None:
    edge = Edge()
    edge.logon("ANN")
    assert told(edge, order(5, 990))[0] == Code.OK
    for _ in range(2):
        assert told(edge, order(4, 990)) == (Code.OUT_OF_ORDER, 5, 4)
    assert open_orders(edge, 6) == 1


def test_an_id_older_than_what_is_remembered_is_too_old() -> None:
    """1,024 outcomes are; what is older may have been executed, so it never is again."""
    edge = Edge()
    edge.logon("ANN")
    assert told(edge, order(1, 990))[0] == Code.OK
    for i in range(1_100):
        edge.ask("ANN", m.OrderMassStatusRequest(2 + i, "MSFT"))
        edge.pass_time(0.01)
    assert told(edge, order(1, 990)) == (Code.ID_TOO_OLD, 1_101, 1)
    assert open_orders(edge, 1_102) == 1
