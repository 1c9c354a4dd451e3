"""What operators do to a running exchange from another host: kill switches, the emergency, flags,
reload. Each needs its role, is recorded by the key, and what is for the caller's own files is not
there.
"""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rtes.client import Client, Rejected
from rtes.client.cli import cli
from rtes.client.testing import Mesh
from rtes.common.enums import OrdStatus
from rtes.common.errors import OperatorError
from rtes.common.refusals import Code
from rtes.control.caller import perform
from rtes.control.remote import ask

from tests.meshes import connect, wait_for

pytestmark = pytest.mark.mesh
FLAG = "no_self_trades"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """With the server of operations, which listens for other hosts."""
    with Mesh(tmp_path_factory.mktemp("mesh"), exchange={"control_port": 12_000}) as running:
        command = ["-m", "rtes.control.server", "--config", str(running.config_file)]
        with subprocess.Popen([sys.executable, *command]) as server:
            wait_for(lambda: listens(running.config.exchange.control_endpoint), 30.0)
            yield running
            server.terminate()
            assert server.wait(20) == 0


def listens(endpoint: str) -> bool:
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.fixture(scope="module")
def keys(mesh: Mesh) -> dict[str, Path]:
    """Of an operator for each role, who holds nothing else."""
    made = {}
    for role in ("viewer", "operator", "key-admin", "emergency"):
        file = perform(mesh.config, "access key", {"name": role})["key_file"]
        perform(mesh.config, "access grant", {"identity": f"key:{role}", "role": role})
        made[role] = Path(file)
    return made


def rtes(key: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--key", str(key)])


def done(key: Path, *words: str) -> Any:
    result = rtes(key, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def last(mesh: Mesh) -> dict[str, Any]:
    (record,) = perform(mesh.config, "audit tail", {"count": 1})
    return dict(record)


def accepted(client: Client) -> bool:
    try:
        client.cancel(client.buy("AAPL", 1, 58_000))
    except Rejected as error:
        if error.code not in (Code.INSTRUMENT_HALTED, Code.ACCOUNT_SUSPENDED):
            raise
        return False
    return True


def test_an_emergency_from_another_host(mesh: Mesh, keys: dict[str, Path]) -> None:
    with connect(mesh, "DEMO1") as client:
        order = client.buy("AAPL", 1, 58_000)
        answer = done(keys["emergency"], "emergency", "mass-cancel", "--reason", "a fire")
        assert answer == {"stage": "mass-cancel", "canceled": 1}
        record = last(mesh)
        assert record["actor"].startswith("key:emergency:")
        assert (record["action"], record["reason"]) == ("emergency mass-cancel", "a fire")
        client.poll(1.0)
        assert order.status is OrdStatus.CANCELED
        assert not accepted(client)
        done(keys["emergency"], "emergency", "resume", "--reason", "it is out")
        assert accepted(client)


def test_kill_switches_from_another_host(mesh: Mesh, keys: dict[str, Path]) -> None:
    with connect(mesh, "DEMO1") as client:
        answer = done(keys["emergency"], "kill", "suspend", "--account", "DEMO1")
        assert answer == {"action": "suspend", "of": "DEMO1", "canceled": 0}
        assert (last(mesh)["action"], last(mesh)["object"]) == ("kill suspend", "DEMO1")
        assert not accepted(client)
        done(keys["emergency"], "kill", "reinstate", "--account", "DEMO1")
        assert accepted(client)
    said = rtes(keys["emergency"], "kill", "halt", "--symbol", "APPL")
    assert "APPL is not listed; did you mean AAPL?" in said.stderr
    said = rtes(keys["emergency"], "kill", "halt", "--account", "NOBODY")
    assert "there is no account NOBODY" in said.stderr


def test_nobodys_session_but_an_operators_is_taken_over(
    mesh: Mesh, keys: dict[str, Path]
) -> None:
    with connect(mesh, "DEMO2") as client:
        said = rtes(keys["emergency"], "kill", "halt", "--symbol", "AAPL", "--operator", "DEMO2")
        assert "DEMO2 is not an operator's account" in said.stderr
        assert accepted(client)


def test_flags_from_another_host(mesh: Mesh, keys: dict[str, Path]) -> None:
    row = done(keys["operator"], "flags", "set", "fair_credit", "--percent", "20", "--reason", "x")
    assert row["on_for"] == "20 %"
    assert done(keys["viewer"], "flags", "explain", "fair_credit", "DEMO1")["percent"] == 20
    done(keys["operator"], "flags", "set", "fair_credit", "--clear", "--reason", "x")


def test_a_flag_of_the_matcher_is_sequenced_and_outlives_it(
    mesh: Mesh, keys: dict[str, Path]
) -> None:
    """On in one symbol: there an account's orders do not trade with each other."""
    row = done(keys["operator"], "flags", "set", FLAG, "--on", "--symbol", "AAPL", "--reason", "x")
    assert row["on_for"] == "AAPL"
    mesh.restart("matcher")
    mesh.wait_ready()
    rows = {r["flag"]: r for r in done(keys["viewer"], "flags", "list")}
    assert (rows[FLAG]["on_for"], rows[FLAG]["set_by"]) == ("AAPL", "sequenced command")
    with connect(mesh, "DEMO1") as client:
        for symbol, traded in (("AAPL", 0), ("MSFT", 1)):
            price = client.instruments()[symbol].trading_reference_price
            orders = client.buy(symbol, 1, price), client.sell(symbol, 1, price)
            client.poll(0.5)
            assert [order.cum for order in orders] == [traded, traded], symbol
        client.cancel_all()
    done(keys["operator"], "flags", "set", FLAG, "--off", "--reason", "x")
    assert not done(keys["viewer"], "flags", "explain", FLAG, "AAPL")["on"]
    said = rtes(keys["operator"], "flags", "set", FLAG, "--percent", "5", "--reason", "x")
    assert "--on or --off" in said.stderr


def test_reload_from_another_host_is_of_the_file_the_exchange_was_started_with(
    mesh: Mesh, keys: dict[str, Path]
) -> None:
    mesh.paths.config_file.write_text(mesh.config.without_secrets())
    tree = json.loads(mesh.config_file.read_text())
    tree["risk"]["order_qty_max"] = 77
    mesh.config_file.write_text(json.dumps(tree))
    assert done(keys["operator"], "config", "reload").keys() == {"risk.order_qty_max"}
    request = {"operation": "config reload", "arguments": {"source": "/etc/passwd"}}
    with pytest.raises(OperatorError, match="not a request"):
        ask(keys["operator"], request)


REFUSED = (
    ("viewer", "emergency halt", "emergency:stop"),
    ("operator", "emergency stop", "emergency:stop"),
    ("operator", "emergency resume", "emergency:resume"),
    ("key-admin", "kill halt --account DEMO1", "emergency:stop"),
    ("operator", "kill reinstate --account DEMO1", "emergency:resume"),
    ("viewer", "flags set fair_credit --on", "config:write"),
    ("key-admin", f"flags set {FLAG} --on", "config:write"),
    ("emergency", "flags list", "config:read"),
    ("viewer", "config reload", "config:write"),
    ("emergency", "participants list", "participants:read"),
    ("operator", "access grant uid:1 viewer", "access:write"),
    ("emergency", "certs renew", "certs:write"),
)


@pytest.mark.parametrize(("role", "line", "permission"), REFUSED)
def test_who_lacks_a_permission_is_told_which_and_it_is_recorded(
    mesh: Mesh, keys: dict[str, Path], role: str, line: str, permission: str
) -> None:
    words = line.split()
    said = rtes(keys[role], *words, *(("--reason", "x") if words[-1] != "list" else ()))
    assert said.exit_code == 1
    assert f"lacks the permission {permission}" in said.stderr
    assert last(mesh)["outcome"] == f"refused: lacks {permission}"


@pytest.mark.parametrize(
    "operation", ["keys generate", "config encrypt", "config decrypt", "config rotate"]
)
def test_what_is_for_the_callers_own_files_is_not_there_and_says_so(
    mesh: Mesh, keys: dict[str, Path], operation: str
) -> None:
    with pytest.raises(OperatorError, match="files and keys of whoever calls it"):
        ask(keys["key-admin"], {"operation": operation, "arguments": {"file": "/etc/passwd"}})
