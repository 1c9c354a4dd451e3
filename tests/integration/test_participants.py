"""Participants' keys against a running exchange: a revoked or replaced key's session ends at
once, its key opens none any more, and another's session goes on.
"""

import json
import os
import time
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from rtes.client.blocking import Client
from rtes.client.cli import cli
from rtes.client.credentials import Credentials
from rtes.client.errors import Rejected, RtesError
from rtes.client.testing import Mesh
from rtes.common import messages as m
from rtes.common.refdata import load_accounts

pytestmark = pytest.mark.mesh
ENDED_S_MAX = 2.0


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with Mesh(tmp_path_factory.mktemp("mesh")) as running:
        yield running


def rtes(mesh: Mesh, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--profile", str(mesh.config_file)])


def last_word(client: Client) -> str:
    """The text of the Logout that the gateway sends, which it must soon."""
    deadline = time.monotonic() + ENDED_S_MAX
    while time.monotonic() < deadline:
        for message in client.poll(0.05):
            if isinstance(message, m.Logout):
                return message.text
    raise AssertionError(f"the session lives after {ENDED_S_MAX} s")


def refused(mesh: Mesh, account: str, key: Credentials) -> None:
    with pytest.raises(RtesError):
        Client.connect(account, config=mesh.config, credentials=key, timeout_s=2)


def test_a_revoked_keys_live_session_ends_at_once(mesh: Mesh) -> None:
    key = Credentials.of("DEMO1", mesh.paths)
    with (
        Client.connect("DEMO1", config=mesh.config) as revoked,
        Client.connect("DEMO2", config=mesh.config) as other,
    ):
        told = rtes(mesh, "participants", "revoke", "DEMO1", "--reason", "left the firm")
        assert told.stdout == "DEMO1 is revoked\n"
        assert last_word(revoked) == "this key was revoked"
        assert other.account_usage()
    refused(mesh, "DEMO1", key)
    assert not mesh.paths.key_file("DEMO1").exists()
    rows = {a.name: a for a in load_accounts(mesh.paths.accounts_file).accounts}
    assert rows["DEMO1"].revoked
    assert "revoked already" in rtes(mesh, "participants", "revoke", "DEMO1").stderr


def test_a_new_account_can_be_stopped_at_once(mesh: Mesh) -> None:
    rtes(mesh, "participants", "add", "NEWCOMER")
    assert rtes(mesh, "kill", "suspend", "--account", "NEWCOMER", "--reason", "x").exit_code == 0
    with (
        Client.connect("NEWCOMER", config=mesh.config) as client,
        pytest.raises(Rejected, match="SUSPENDED"),
    ):
        client.buy("AAPL", 1, 58_500)


def test_a_revoked_account_comes_back_with_a_new_key_and_its_old_id(mesh: Mesh) -> None:
    before = {a.name: a for a in load_accounts(mesh.paths.accounts_file).accounts}["DEMO3"]
    key = Credentials.of("DEMO3", mesh.paths)
    rtes(mesh, "participants", "revoke", "DEMO3")
    refused(mesh, "DEMO3", key)
    rtes(mesh, "participants", "add", "DEMO3")
    with Client.connect("DEMO3", config=mesh.config) as client:
        assert client.account_usage()
    after = {a.name: a for a in load_accounts(mesh.paths.accounts_file).accounts}["DEMO3"]
    assert (after.id, after.revoked) == (before.id, False)
    assert after.public_key != before.public_key
    refused(mesh, "DEMO3", key)


def test_a_replaced_key_ends_its_session_and_the_new_one_opens_another(mesh: Mesh) -> None:
    key = Credentials.of("DEMO4", mesh.paths)
    with Client.connect("DEMO4", config=mesh.config) as old:
        assert rtes(mesh, "participants", "rotate", "DEMO4").exit_code == 0
        assert last_word(old) == "this key was revoked"
    refused(mesh, "DEMO4", key)
    with Client.connect("DEMO4", config=mesh.config) as client:
        assert client.account_usage()


def test_a_new_participant_has_its_limits_and_a_private_key(mesh: Mesh) -> None:
    os.umask(0o022)
    told = rtes(mesh, "participants", "add", "ACME", "--limit", "order_qty_max=7", "--json")
    row = json.loads(told.stdout)
    assert row["limits"]["order_qty_max"] == 7
    assert row["limits"]["credit_max"] == mesh.config.risk.credit_max
    assert mesh.paths.key_file("ACME").stat().st_mode & 0o777 == 0o600
    assert "ACME exists" in rtes(mesh, "participants", "add", "ACME").stderr
    bad = rtes(mesh, "participants", "add", "BCME", "--limit", "order_qty_mx=7")
    assert "limits are order_qty_max" in bad.stderr
    assert "choose another name" in rtes(mesh, "participants", "add", "gateway").stderr
    listed = json.loads(rtes(mesh, "participants", "list", "--json").stdout)
    assert [r["state"] for r in listed if r["name"] == "ACME"] == ["active"]
    with Client.connect("ACME", config=mesh.config) as client:
        assert client.account_usage()[-1].account == "ACME"
        client.buy("AAPL", 7, 58_000)
        with pytest.raises(RtesError, match="7"):
            client.buy("AAPL", 8, 58_000)


def test_new_limits_of_an_account_hold_at_once_and_replay_agrees(mesh: Mesh) -> None:
    with Client.connect("BOT01", config=mesh.config) as client:
        client.buy("AAPL", 500, 58_000)
        given = ("--limit", "order_qty_max=9", "--limit", "open_orders_max=50")
        told = rtes(mesh, "participants", "limits", "BOT01", *given, "--json")
        row = json.loads(told.stdout)
        assert row["limits"]["order_qty_max"] == 9
        assert row["limits"]["credit_max"] == mesh.config.risk.credit_max
        deadline = time.monotonic() + 20
        while client.account_usage()[-1].open_orders_max != 50:
            assert time.monotonic() < deadline
        with pytest.raises(RtesError, match="9"):
            client.buy("AAPL", 10, 58_000)
        client.buy("AAPL", 9, 58_000)
        mesh.restart("matcher")
        mesh.restart("risk")
        mesh.wait_ready()
        with pytest.raises(RtesError, match="9"):
            client.buy("AAPL", 10, 58_000)
        assert len(client.open_orders) == 2
    last = json.loads(rtes(mesh, "audit", "tail", "-n", "1", "--json").stdout)[0]
    assert last["action"] == "participants limits"
    limits = [last[when]["limits"]["order_qty_max"] for when in ("old", "new")]
    assert limits == [mesh.config.risk.order_qty_max, 9]
    assert "nothing to change" in rtes(mesh, "participants", "limits", "BOT01").stderr
    bad = rtes(mesh, "participants", "limits", "BOT01", "--limit", "order_qty_max=none")
    assert "order_qty_max = 'none'" in bad.stderr


def test_a_key_that_others_can_read_is_refused(mesh: Mesh) -> None:
    file = mesh.paths.key_file("DEMO2")
    file.chmod(0o644)
    try:
        with pytest.raises(RtesError, match="can be read by others; run: chmod 600"):
            Client.connect("DEMO2", config=mesh.config)
    finally:
        file.chmod(0o600)
