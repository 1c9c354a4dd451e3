"""What an operator finds in the logs of an exchange that runs: JSON lines that name the account,
the session, the sequence number and why; nothing that a participant sends makes a line of its own.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rtes.client.blocking import Client
from rtes.client.testing import SERVICES, Mesh
from rtes.common import messages as m

from tests.hostile.peers import Peer
from tests.meshes import wait_for

pytestmark = pytest.mark.mesh
SOON_S = 20.0
HOSTILE = 'A"\n{"event":1}\u202e\x1b[2JENC[v1,x]'


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """One that logs as staging does."""
    made = Mesh(tmp_path, (*SERVICES, "snapshotter"), journal={"snapshot_interval_s": 1})
    tree = {**json.loads(made.config_file.read_text()), "environment": "staging"}
    made.config_file.write_text(json.dumps(tree))
    record = {"phase": "RAMP", "version": "v1.2.3", "started": 1_700_000_000.5}
    (made.paths.run_dir / "deployment.json").write_text(json.dumps(record))
    with made as running:
        yield running


def records(mesh: Mesh, service: str, event: str) -> list[dict[str, Any]]:
    """The service's records of that event; each line it has logged is one JSON object."""
    lines = mesh.log(service).splitlines(keepends=True)
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    return [r for r in found if r["event"] == event]


def the(mesh: Mesh, service: str, event: str, **details: Any) -> dict[str, Any]:
    """The first record with these details, which must soon be there."""
    deadline = time.monotonic() + SOON_S
    while True:
        for record in records(mesh, service, event):
            if details.items() <= record.items():
                return record
        assert time.monotonic() < deadline, mesh.log(service)
        time.sleep(0.05)


def test_sessions_and_who_is_kept_out(mesh: Mesh) -> None:
    with Client.connect("DEMO1", config=mesh.config):
        opened = the(mesh, "gateway", "session opened", account="DEMO1")
    assert (opened["level"], opened["deployment"]) == ("info", "v1.2.3@1700000000")
    assert opened["account_id"] > 0
    assert len(opened["key"]) == 40
    closed = the(mesh, "gateway", "session closed", session=opened["session"])
    assert (closed["account"], closed["why"]) == ("DEMO1", "logged out")
    with Peer(mesh, "DEMO2") as peer:
        peer.ask(m.Logon(HOSTILE))
        peer.last_id()
        for _ in range(10):
            peer.ask(b"\xc1")
    refused = the(mesh, "gateway", "session refused", code="NOT_AUTHORIZED")
    assert "\n" not in refused["account"]
    assert refused["account"].endswith("\\u202e\\x1b[2J(secret)")
    banned = the(mesh, "gateway", "key banned")
    assert (banned["level"], banned["key"]) == ("warning", refused["key"])
    assert the(mesh, "gateway", "session closed", account="DEMO2")["why"] == banned["why"]


def test_recoveries_and_ends(mesh: Mesh) -> None:
    with Client.connect("DEMO1", config=mesh.config) as client:
        client.buy("AAPL", 1, 58_000)

        def of_the_order() -> list[dict[str, Any]]:  # one of before it may be written, too
            written = records(mesh, "snapshotter", "snapshot written")
            return [record for record in written if record["seq"] >= 2]

        wait_for(lambda: bool(of_the_order()), SOON_S)
        written = of_the_order()[0]
        the(mesh, "risk", "ready")
        mesh.restart("risk")
        mesh.wait_ready()
        client.buy("AAPL", 1, 58_000)
        until(lambda: len(records(mesh, "risk", "ready")) == 2)
        first, second = records(mesh, "risk", "ready")
        assert second["epoch"] > first["epoch"]
        assert second["seq"]["0"] >= first["seq"]["0"]
        restored = the(mesh, "risk", "recovered")
        assert restored["snapshot_seq"] >= written["seq"]
        mesh.restart("matcher")
        mesh.wait_ready()
    until(lambda: len(records(mesh, "matcher", "recovered")) == 2)
    recovered = records(mesh, "matcher", "recovered")[-1]
    assert recovered["snapshot_seq"] + recovered["replayed"] == recovered["seq"] >= 3
    assert (recovered["epoch"], recovered["torn_bytes"]) == (2, 0)
    mesh.processes["matcher"].terminate()
    assert mesh.processes["matcher"].wait(20) == 0
    assert records(mesh, "matcher", "stopping")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
