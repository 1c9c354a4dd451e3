"""Reloading settings of an exchange that runs: live ones hold in every service, or nothing does;
and a matcher that executes its journal again agrees, whatever the limits were.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rtes.client.blocking import Client
from rtes.client.cli import cli
from rtes.client.errors import Rejected
from rtes.client.testing import Mesh

pytestmark = pytest.mark.mesh
SOON_S = 5.0


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with Mesh(tmp_path) as running:
        yield running


def edit(mesh: Mesh, section: str, **fields: Any) -> None:
    tree = json.loads(mesh.config_file.read_text())
    tree.setdefault(section, {}).update(fields)
    mesh.config_file.write_text(json.dumps(tree))


def reload(mesh: Mesh) -> Result:
    return CliRunner().invoke(cli, ["config", "reload", "--profile", str(mesh.config_file)])


def soon(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_new_limit_holds_and_replay_agrees(mesh: Mesh) -> None:
    with Client.connect("DEMO1", config=mesh.config) as client:
        first = client.buy("AAPL", 500, 58_000)
        edit(mesh, "risk", order_qty_max=100)
        assert reload(mesh).stdout == "reloaded risk.order_qty_max (100000 to 100)\n"
        soon(lambda: mesh.log("risk").count("reloaded") == 1)
        with pytest.raises(Rejected, match="100"):
            client.buy("AAPL", 101, 58_000)
        client.buy("AAPL", 100, 58_000)
        assert first in client.open_orders
        edit(mesh, "risk", order_qty_max=1_000)
        reload(mesh)
        soon(lambda: mesh.log("risk").count("reloaded") == 2)
        client.buy("AAPL", 101, 58_000)
        mesh.restart("matcher")
        mesh.wait_ready()
        client.buy("AAPL", 102, 58_000)
        assert len(client.open_orders) == 4


def test_all_services_take_it(mesh: Mesh) -> None:
    edit(mesh, "session", credit=7)
    edit(mesh, "security", log_level="DEBUG")
    told = reload(mesh)
    assert {line.split()[1] for line in told.stdout.splitlines()} == {
        "session.credit",
        "security.log_level",
    }
    for service in mesh.services:
        soon(lambda service=service: "reloaded" in mesh.log(service))  # type: ignore[misc]
    assert reload(mesh).stdout == "nothing changed\n"


def test_nothing_is_changed_when_something_needs_a_restart(mesh: Mesh) -> None:
    before = mesh.paths.config_file.read_text()
    edit(mesh, "risk", order_qty_max=100)
    edit(mesh, "exchange", day_end_utc="21:00")
    told = reload(mesh)
    assert told.exit_code == 1
    assert "these need a restart" in told.stderr
    assert "exchange.day_end_utc (00:00 to 21:00)" in told.stderr
    assert "order_qty_max" not in told.stderr
    assert mesh.paths.config_file.read_text() == before
    edit(mesh, "exchange", day_end_utc="nonsense")
    assert "exchange.day_end_utc = 'nonsense'" in reload(mesh).stderr
    assert mesh.paths.config_file.read_text() == before


def test_who_may_not_is_refused(mesh: Mesh) -> None:
    access = mesh.paths.access_file
    access.write_text(json.dumps({"grants": {"uid:4242": ["key-admin"]}}))
    access.chmod(0o600)
    edit(mesh, "risk", order_qty_max=100)
    assert "lacks the permission config:write" in reload(mesh).stderr
