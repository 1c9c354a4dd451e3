"""Snapshots on a real mesh: what starts from one goes on as if it had replayed everything.

Few commands per snapshot and small segments, so that a short run makes several and removes
segments; the audit of what was told is the participant's own record.
"""

import re
import time
from pathlib import Path

import pytest
from rtes.client import Client
from rtes.client.session import Session
from rtes.client.testing import SERVICES, Mesh
from rtes.common import messages as m
from rtes.common.journal import first_seq_of, segments
from rtes.common.snapshots import Snapshots

from tests.meshes import Raw, wait_for

pytestmark = pytest.mark.mesh
EVERYTHING = (*SERVICES, "marketdata", "snapshotter")
SETTINGS = {"snapshot_commands": 1_000, "segment_mib": 1, "history_mib": 0, "durability": "never"}


def trade(client: Client, count: int) -> None:
    """Orders that rest and trade with each other."""
    for i in range(count):
        client.buy("AAPL", 1 + i % 5, 58_600 - i % 3, wait=i % 50 == 49)
        client.sell("AAPL", 1 + i % 4, 58_600 - i % 3, wait=i % 50 == 49)


def snapshots_of(mesh: Mesh) -> list[int]:
    return Snapshots(mesh.paths.snapshots_dir(0)).seqs()


def wait_for_snapshot_after(mesh: Mesh, seq: int) -> int:
    """The sequence number of the newest one, once it is above seq."""
    deadline = time.monotonic() + 60
    while not (seqs := snapshots_of(mesh)) or seqs[-1] <= seq:
        assert time.monotonic() < deadline, mesh.log("snapshotter")
        mesh.hear(100)
    return seqs[-1]


def test_all_start_from_snapshots_and_old_segments_go(tmp_path: Path) -> None:
    with Mesh(tmp_path, EVERYTHING, journal=SETTINGS) as mesh:
        config = mesh.config
        with Client.connect("DEMO1", config=config) as client:
            newest = 0
            while first_seq_of(segments(mesh.paths.journal_dir(0))[0]) == 1:
                trade(client, 600)
                newest = wait_for_snapshot_after(mesh, newest)
            wait_for(lambda: 1 <= len(snapshots_of(mesh)) <= 2)  # the oldest goes last
            resting = client.buy("AAPL", 7, 55_000)
            before = client.positions["AAPL"]
        for service in EVERYTHING:
            mesh.restart(service)
        mesh.wait_ready()
        recovered = re.findall(r"snapshot_seq=(\d+) ", mesh.log("matcher"))
        assert int(recovered[-1]) >= newest  # there may have come another
        with Client.connect("DEMO1", config=config) as client:
            usage = {row.symbol: row for row in client.account_usage()}
            assert usage["AAPL"].net_qty == before.qty
            client.cancel(resting.cl_ord_id, symbol="AAPL")
            with client.market_data(["AAPL"], channels=("trades",)) as market:
                client.buy("AAPL", 2, 58_600)
                client.sell("AAPL", 2, 58_600)
                deadline = time.monotonic() + 10
                while market.books["AAPL"].last_trade is None:
                    market.poll(0.1)
                    assert time.monotonic() < deadline


def test_what_was_removed_is_said_to_be_gone(tmp_path: Path) -> None:
    """A participant that was away for longer than the exchange remembers goes on all the same."""
    with Mesh(tmp_path, (*SERVICES, "snapshotter"), journal=SETTINGS) as mesh:
        with Client.connect("DEMO2", config=mesh.config) as away:
            away.buy("AAPL", 1, 58_500)
        newest = 0
        with Client.connect("DEMO1", config=mesh.config) as client:
            client.sell("AAPL", 1, 58_500)
            while first_seq_of(segments(mesh.paths.journal_dir(0))[0]) == 1:
                trade(client, 600)
                newest = wait_for_snapshot_after(mesh, newest)
        raw = Raw(mesh, "DEMO1")
        last = raw.logon().appl_last_seq_num
        reset = raw.ask(m.ResendRequest(1))
        assert isinstance(reset, m.SequenceReset)
        assert 1 < reset.new_seq_no <= last
        first = raw.receive()
        assert isinstance(first, m.ExecutionReport)
        assert first.appl_seq_num == reset.new_seq_no
        raw.close()
        raw = Raw(mesh, "DEMO2")
        assert raw.logon().appl_last_seq_num == 2
        reset = raw.ask(m.ResendRequest(1))
        assert reset == m.SequenceReset(0, 0)
        raw.close()


def test_a_session_goes_on_after_what_is_gone() -> None:
    session = Session("DEMO1", 30)
    session.receive(m.encode([m.LogonReply(0, 0, 0, 30, m.PROTOCOL_VERSION, 1, 1)]), 1)
    session.receive(m.encode([m.LogonReply(0, 40, 40, 30, m.PROTOCOL_VERSION, 1, 1)]), 2)
    session.receive(m.encode([m.SequenceReset(0, 31)]), 3)
    assert session.reports_lost == 30
    session.receive(m.encode([m.SequenceReset(0, 0)]), 4)
    assert session.reports_lost == 40
