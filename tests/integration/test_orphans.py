"""Cancel-on-disconnect when it is the gateway that dies: who never returns leaves no orders."""

from pathlib import Path

import pytest
from rtes.client import Client
from rtes.client.testing import SERVICES, Mesh
from rtes.common import messages as m
from rtes.common.enums import CancelOnDisconnect, OrdStatus
from rtes.common.records import CMD_GATEWAY, NOTICE_ORPHAN, Block

from tests.meshes import blocks, connect, settle, told, until, wait_for

pytestmark = pytest.mark.mesh
EVERYTHING = CancelOnDisconnect.EVERYTHING


def vanish(client: Client) -> None:
    """Without a word, and for good."""
    client._connection.close()


def canceled(mesh: Mesh, account: str) -> int:
    reports = told(mesh)[account]
    return sum(
        isinstance(r, m.ExecutionReport) and r.ord_status is OrdStatus.CANCELED for r in reports
    )


def starts(block: Block) -> list[bool]:
    """Of gateways, whether each came after a planned stop."""
    return [bool(c[7]) for group in block.groups for c in group[4] if c[0] == CMD_GATEWAY]


def test_who_never_returns_to_a_gateway_that_died_leaves_no_orders(tmp_path: Path) -> None:
    with Mesh(tmp_path, SERVICES) as mesh:
        gone = connect(mesh, "DEMO1", cancel_on_disconnect=EVERYTHING)
        stays = connect(mesh, "DEMO3")  # did not ask for it
        with connect(mesh, "DEMO2", cancel_on_disconnect=EVERYTHING) as back:
            for client in (gone, stays, back):
                client.buy("AAPL", 1, 58_000)
                client.buy("MSFT", 1, 3_000)
            mesh.kill("gateway")
            vanish(gone)
            vanish(stays)
            mesh.start("gateway")
            back.buy("AAPL", 1, 58_001)
            wait_for(lambda: canceled(mesh, "DEMO1") == 2)
            settle(back)
            assert len(back.open_orders) == 3
            assert canceled(mesh, "DEMO2") == canceled(mesh, "DEMO3") == 0

            mesh.processes["gateway"].terminate()  # as planned: who is away may take his time
            assert mesh.processes["gateway"].wait(20) == 0
            mesh.start("gateway")
            until(back, lambda: back._session.logged_on)
            back.buy("AAPL", 1, 58_002)
            written = list(blocks(mesh))
    assert [planned for block in written for planned in starts(block)] == [False, False, True]
    notices = [n for block in written for n in block.notices if n[0] == NOTICE_ORPHAN]
    assert len(notices) == 2  # both of the first time: of DEMO1 and of DEMO2
