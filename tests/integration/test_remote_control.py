"""Operations from another host: who holds a key that was given is let in, may what was granted,
and is recorded by the key's fingerprint; any other key does not get past the handshake.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from click.testing import CliRunner
from rtes.client.cli import cli
from rtes.client.testing import free_port
from rtes.common.access import fingerprint
from rtes.common.config import Config, ConfigError, load
from rtes.common.errors import OperatorError
from rtes.control.caller import perform
from rtes.control.remote import ask
from rtes.control.setup import setup


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """Of an exchange whose operations are served to other hosts."""
    directory = tmp_path_factory.mktemp("remote")
    port = free_port()
    file = directory / "config.json"
    tree = {"mesh": {"run_dir": str(directory / "run")}, "exchange": {"control_port": port}}
    file.write_text(json.dumps({"environment": "dev", **tree}))
    config = load(file, {})
    setup(config)
    command = [sys.executable, "-m", "rtes.control.server", "--config", str(file)]
    with subprocess.Popen(command) as server:
        deadline = time.monotonic() + 30
        while not listens(port):
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield config
        server.terminate()
        assert server.wait(20) == 0


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def new_key(config: Config, name: str, *roles: str) -> Path:
    """The file of a key that holds these roles."""
    made = perform(config, "access key", {"name": name})
    for role in roles:
        perform(config, "access grant", {"identity": f"key:{name}", "role": role})
    return Path(made["key_file"])


def refused(key: Path, operation: str, **arguments: Any) -> str:
    with pytest.raises(OperatorError) as error:
        ask(key, {"operation": operation, "arguments": arguments})
    return str(error.value)


def test_a_key_without_a_role_is_told_what_it_lacks(config: Config) -> None:
    file = new_key(config, "nobody")
    identity = f"key:nobody:{fingerprint(json.loads(file.read_text())['public_key'])}"
    said = refused(file, "participants list")
    assert said.startswith(f"{identity} may not participants list")
    assert "participants:read" in said
    (last,) = perform(config, "audit tail", {"count": 1})
    assert (last["actor"], last["outcome"]) == (identity, "refused: lacks participants:read")


def test_a_role_holds_at_once_and_ends_at_once(config: Config) -> None:
    file = new_key(config, "alice", "viewer")
    rows = ask(file, {"operation": "participants list", "arguments": {}})
    assert "DEMO1" in [row["name"] for row in rows]
    assert "lacks the permission participants:write" in refused(
        file, "participants add", name="ACME"
    )
    perform(config, "access grant", {"identity": "key:alice", "role": "operator"})
    told = CliRunner().invoke(
        cli, ["participants", "add", "ACME", "--reason", "ticket 12", "--key", str(file)]
    )
    assert told.stdout.startswith("ACME is account"), told.output
    (last,) = perform(config, "audit tail", {"count": 1})
    assert last["actor"].startswith("key:alice:")
    assert (last["object"], last["reason"]) == ("account ACME", "ticket 12")
    assert "lacks the permission access:write" in refused(
        file, "access grant", identity="key:alice", role="key-admin"
    )
    for role in ("viewer", "operator"):
        perform(config, "access revoke", {"identity": "key:alice", "role": role})
    assert "does not know this key" in refused(file, "participants list")


def test_another_key_does_not_get_past_the_handshake(config: Config, tmp_path: Path) -> None:
    key = json.loads(new_key(config, "bob", "operator").read_text())
    public, secret = (half.decode() for half in zmq.curve_keypair())
    participant = json.loads((config.mesh.run_dir / "keys" / "DEMO1.json").read_text())
    halves = {name: participant[name] for name in ("public_key", "secret_key")}
    for wrong in ({"public_key": public, "secret_key": secret}, halves):
        file = tmp_path / "key.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps({**key, **wrong}))
        assert "does not know this key" in refused(file, "participants list")


def test_a_replaced_key_ends_and_the_new_one_has_its_roles(config: Config, tmp_path: Path) -> None:
    file = new_key(config, "carol", "viewer")
    old = tmp_path / "old.json"
    old.touch(mode=0o600)
    old.write_text(file.read_text())
    new_key(config, "carol")
    assert "does not know this key" in refused(old, "participants list")
    assert ask(file, {"operation": "participants list", "arguments": {}})


def test_nonsense_is_answered_and_ends_nothing(config: Config, tmp_path: Path) -> None:
    file = new_key(config, "dave", "viewer", "key-admin")
    assert "there is no operation" in refused(file, "config decrypt", file="/etc/passwd")
    assert "not a request" in refused(file, "access grant", identity=5, role="viewer")
    assert "no key:erin" in refused(file, "access grant", identity="key:erin", role="viewer")
    assert "cannot name a key" in refused(file, "access key", name="../x")
    key = json.loads(file.read_text())
    with zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.linger = 0
        peer.curve_publickey, peer.curve_secretkey, peer.curve_serverkey = (
            key[name].encode() for name in ("public_key", "secret_key", "server_key")
        )
        peer.connect(key["endpoint"])
        for frame in (b"", b"[" * 100_000, b"\xff", b"{}", b"[1]", b'"x"'):
            peer.send(frame)
            assert peer.poll(20_000)
            assert "not a request" in json.loads(peer.recv())["error"]
    assert ask(file, {"operation": "participants list", "arguments": {}})
    file.chmod(0o644)
    with pytest.raises(OperatorError, match="can be read by others"):
        ask(file, {"operation": "participants list", "arguments": {}})
    missing = tmp_path / "none.json"
    assert "rtes access key makes one" in refused(missing, "participants list")


def test_keys_are_needed_for_it(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    tree = {"mesh": {"run_dir": str(tmp_path)}, "exchange": {"control_port": 7_777}}
    file.write_text(json.dumps({"environment": "dev", **tree, "security": {"curve": False}}))
    with pytest.raises(ConfigError, match="control_port needs security"):
        load(file, {})
    file.write_text(json.dumps({"environment": "dev", "mesh": tree["mesh"]}))
    with pytest.raises(OperatorError, match="control_port is not set"):
        perform(load(file, {}), "access key", {"name": "alice"})
