"""The emergency's first stage on a real exchange: a share of every session's rate, latched, until
it is lifted; no cancel is refused and nobody is logged out.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.messages import BATCH_MESSAGES_MAX
from rtes.common.refusals import Code
from rtes.control.audit import AuditLog

from tests.hostile.peers import Peer, order

pytestmark = pytest.mark.mesh
RTES = Path(sys.executable).parent / "rtes"
PER_S = 4_000
SHARE = 0.1
SENT = 1_000
FLOOD_S = 6.0  # longer than over a rate without a throttle ends a session


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    session = {"messages_per_s_max": PER_S, "throttled_share": SHARE}
    with Mesh(tmp_path_factory.mktemp("mesh"), session=session) as running:
        yield running


def emergency(mesh: Mesh, stage: str) -> None:
    command = [
        str(RTES),
        "emergency",
        stage,
        "--reason",
        "a test",
        "--profile",
        str(mesh.config_file),
    ]
    subprocess.run(command, check=True, timeout=60, capture_output=True)


def throttled(mesh: Mesh) -> bool:
    mesh.hear(50)
    return bool(mesh.vitals.get("gateway", {}).get("gauges", {}).get("rtes_throttled"))


def soon(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline


def refused(peer: Peer, messages: list[m.Inbound]) -> list[m.BusinessMessageReject]:
    for i in range(0, len(messages), BATCH_MESSAGES_MAX):
        peer.send(messages[i : i + BATCH_MESSAGES_MAX])
    told: list[m.Outbound] = []
    while len(told) < len(messages):  # one answer to each
        told.append(peer.receive())
    assert not [t for t in told if isinstance(t, m.Logout)]
    return [t for t in told if isinstance(t, m.BusinessMessageReject)]


def orders(after_id: int) -> list[m.Inbound]:
    return [order(after_id + 1 + i) for i in range(SENT)]


def test_it_lowers_the_rate_over_a_restart_until_it_is_lifted(mesh: Mesh) -> None:
    with Peer(mesh, "BOT01") as peer:
        last = peer.last_id()
        assert refused(peer, orders(last)) == []
        emergency(mesh, "throttle")
        soon(lambda: throttled(mesh))
        told = refused(peer, orders(last + SENT))
        assert len(told) > SENT / 4
        assert {(t.reject_code, t.limit) for t in told} == {(Code.THROTTLED, PER_S * SHARE)}
        assert all(t.retry_after_ms > 0 for t in told)
        cancels: list[m.Inbound] = [
            m.OrderCancelRequest(last + 2 * SENT + 1 + i, "AAPL", last + 1 + i) for i in range(SENT)
        ]
        assert refused(peer, cancels) == []
    mesh.restart("gateway")
    mesh.wait_ready()
    assert throttled(mesh)
    with Peer(mesh, "BOT01") as peer:
        last = peer.last_id()
        assert refused(peer, orders(last))
        emergency(mesh, "resume")
        soon(lambda: not throttled(mesh))
        time.sleep(SENT / PER_S)  # what the bucket needs
        assert refused(peer, orders(last + SENT)) == []
    records = list(AuditLog(mesh.paths).records())
    assert [r["action"] for r in records[-2:]] == ["emergency throttle", "emergency resume"]


def test_nobody_is_logged_out_for_it(mesh: Mesh) -> None:
    emergency(mesh, "throttle")
    soon(lambda: throttled(mesh))
    with Peer(mesh, "BOT02") as peer:
        last = peer.last_id()
        until = time.monotonic() + FLOOD_S
        while time.monotonic() < until:
            refused(peer, [order(last + 1 + i) for i in range(BATCH_MESSAGES_MAX)])
            last += BATCH_MESSAGES_MAX
            time.sleep(0.2)
    emergency(mesh, "resume")
    soon(lambda: not throttled(mesh))
