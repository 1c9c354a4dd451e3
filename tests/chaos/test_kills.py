"""After kills the exchange goes on where it was: the same book, the same numbers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rtes.client.testing import SERVICES, Mesh
from rtes.common import messages as m
from rtes.common.enums import OrdStatus

from tests.chaos.trader import PX
from tests.meshes import audit, connect, told, until

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(120)]


@pytest.fixture
def own_mesh(tmp_path: Path) -> Iterator[Mesh]:
    with Mesh(tmp_path) as mesh:
        yield mesh


def test_a_restarted_matcher_has_the_same_book(own_mesh: Mesh) -> None:
    """Shown by what it does: orders keep price, quantity and their place in the queue."""
    with connect(own_mesh, "DEMO1") as one, connect(own_mesh, "DEMO2") as other:
        first = one.sell("AAPL", 7, PX["AAPL"], display_qty=3)
        second = other.sell("AAPL", 4, PX["AAPL"])
        stop = other.sell("AAPL", 1, stop_px=PX["AAPL"] - 5)
        one.replace(first, qty=6)
        before = audit(own_mesh).digest()
        own_mesh.restart("matcher")
        own_mesh.wait_ready()
        assert audit(own_mesh).digest() == before
        for client, count in ((one, 1), (other, 2)):
            reports = client.ask(m.OrderMassStatusRequest(client.next_id()))
            assert getattr(reports[-1], "tot_num_reports", 0) == count
        one.buy("AAPL", 10, PX["AAPL"])
        until(one, lambda: first.status is OrdStatus.FILLED)
        until(other, lambda: second.status is OrdStatus.FILLED)
        other.cancel(stop)
    audit(own_mesh)


def test_a_logon_goes_on_where_the_account_was(own_mesh: Mesh) -> None:
    """Report numbers and cl_ord_ids continue over a restart of everything at once."""
    with connect(own_mesh, "DEMO1") as client:
        order = client.buy("AAPL", 1, PX["AAPL"])
        for service in SERVICES:
            own_mesh.kill(service)
        for service in SERVICES:
            own_mesh.start(service)
        client.cancel(order)
        assert order.status is OrdStatus.CANCELED
    own_mesh.wait_ready()
    with connect(own_mesh, "DEMO1") as again:
        assert again.next_id() == 3
    assert [r.appl_seq_num for r in told(own_mesh)["DEMO1"]] == [1, 2]
