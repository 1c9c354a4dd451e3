"""Who sees the details of the health pages is known by the certificate of the TLS connection: a
real health process, real connections, and what is granted or revoked holds at once.
"""

import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rtes.client.cli import cli
from rtes.client.testing import free_offset
from rtes.common.config import Config, load
from rtes.common.tls import http_connection
from rtes.control import certs
from rtes.control.caller import perform
from rtes.control.setup import setup

from tests.meshes import wait_for

TOKEN = "a token for those without a certificate of their own"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    directory = tmp_path_factory.mktemp("tls")
    file = directory / "config.json"
    tree: dict[str, Any] = {
        "environment": "dev",
        "mesh": {"run_dir": str(directory / "run")},
        "security": {"tls": True, "tls_client_auth": True, "http_token": TOKEN},
        "exchange": {},
    }
    file.write_text(json.dumps(tree))
    tree["exchange"]["port_offset"] = free_offset(load(file, {}).ports.values())
    file.write_text(json.dumps(tree))
    config = load(file, {})
    setup(config)
    certs.init(config)
    command = [sys.executable, "-m", "rtes.services.health", "--config", str(file)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        wait_for(lambda: answers(config), 30.0)
        yield config
        server.terminate()


def answers(config: Config) -> bool:
    connection = http_connection(config, 2.0)
    try:
        connection.request("GET", "/live")
        return bool(connection.getresponse().read())
    except OSError:
        return False
    finally:
        connection.close()


def certificate(config: Config, name: str, *roles: str) -> Path:
    """Made by the command line; its file."""
    file = str(config.mesh.run_dir.parent / "config.json")
    words = ["certs", "client", name, "--profile", file, "--json", "--reason", "a test"]
    made = CliRunner().invoke(cli, words)
    assert made.exit_code == 0, made.output
    for role in roles:
        perform(config, "access grant", {"identity": f"cert:{name}", "role": role})
    return next(Path(f) for f in json.loads(made.stdout)["files"] if f.endswith(".crt"))


def get(config: Config, file: Path, path: str = "/health", token: str = "") -> tuple[int, str]:
    context = ssl.create_default_context(cafile=file.parent / "ca.crt")
    context.load_cert_chain(file, file.with_suffix(".key"))
    host, port = config.exchange.host, config.exchange.ports["http"]
    connection = http.client.HTTPSConnection(host, port, timeout=10, context=context)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    told = answer.status, answer.read().decode()
    connection.close()
    return told


def test_a_viewers_certificate_shows_details_until_it_is_revoked(config: Config) -> None:
    file = certificate(config, "alice", "viewer")
    assert "services" in get(config, file)[1]
    assert get(config, file, "/metrics")[0] == 200
    perform(config, "access revoke", {"identity": "cert:alice", "role": "viewer"})
    status, said = get(config, file, "/metrics")
    assert status == 403
    assert "lacks the permission health:read" in said
    assert "services" not in get(config, file)[1]


@pytest.mark.parametrize("role", ["operator", "key-admin"])
def test_roles_that_include_reading_see_details(config: Config, role: str) -> None:
    assert get(config, certificate(config, f"x.{role}", role), "/metrics")[0] == 200


@pytest.mark.parametrize("roles", [(), ("emergency",)])
def test_a_certificate_without_the_role_is_told_what_it_lacks(
    config: Config, roles: tuple[str, ...]
) -> None:
    file = certificate(config, "bob", *roles)
    status, said = get(config, file, "/dashboard")
    assert status == 403
    assert said.startswith("cert:bob:")
    assert "health:read, which the role viewer or operator or key-admin holds" in said
    assert get(config, file, "/live")[0] == 200
    assert get(config, file, "/metrics", TOKEN)[0] == 200  # the token is another way


def test_a_certificate_that_access_does_not_know_is_refused(config: Config) -> None:
    """Issued by our CA, but replaced since."""
    file = certificate(config, "carol", "viewer")
    old = file.parent / "old.crt"
    for suffix in (".crt", ".key"):
        old.with_suffix(suffix).write_bytes(file.with_suffix(suffix).read_bytes())
    certificate(config, "carol")
    assert get(config, file, "/metrics")[0] == 200  # the new one has its roles
    status, said = get(config, old, "/metrics")
    assert status == 403
    assert said.startswith("cert:?:")


def test_without_a_certificate_of_our_ca_there_is_no_connection(
    config: Config, tmp_path: Path
) -> None:
    tree = {"environment": "dev", "mesh": {"run_dir": str(tmp_path)}, "security": {"tls": True}}
    other = tmp_path / "config.json"
    other.write_text(json.dumps(tree))
    certs.init(load(other, {}))
    file = certificate(config, "dave", "viewer")
    stranger = file.parent / "stranger.crt"
    for suffix in (".crt", ".key"):
        made = load(other, {}).mesh.run_dir / "certs" / f"client{suffix}"
        stranger.with_suffix(suffix).write_bytes(made.read_bytes())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        get(config, stranger)


def test_this_hosts_own_tools_see_details(config: Config) -> None:
    connection = http_connection(config, 5.0)
    connection.request("GET", "/metrics")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_bad_name_makes_no_certificate(config: Config) -> None:
    file = str(config.mesh.run_dir.parent / "config.json")
    said = CliRunner().invoke(cli, ["certs", "client", "../x", "--profile", file])
    assert "cannot name a key" in said.stderr
    said = CliRunner().invoke(cli, ["access", "grant", "cert:erin", "viewer", "--profile", file])
    assert "rtes certs client NAME makes a certificate" in said.stderr
