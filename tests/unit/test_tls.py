"""Certificates: made, checked before use, renewed; what is wrong with one is said, and a server
with a context takes a renewed one for new connections.
"""

import json
import os
import ssl
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from rtes.client.cli import cli
from rtes.common.config import Config, load
from rtes.common.tls import (
    DAY_S,
    TlsError,
    TlsFiles,
    certificate_days_left,
    check_certificate,
    client_context,
    read_certificate,
    subject_names,
    tls_context,
)
from rtes.control import certs


def configured(directory: Path, **security: Any) -> Config:
    path = directory / "config.json"
    mesh = {"run_dir": str(directory / "run")}
    tree = {"environment": "dev", "mesh": mesh, "security": {"tls": True, **security}}
    path.write_text(json.dumps(tree))
    return load(path, {})


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = configured(tmp_path)
    certs.init(config, ["exchange.example", "10.1.2.3"])
    return config


def rtes(config: Config, *arguments: str) -> Result:
    file = str(config.mesh.run_dir.parent / "config.json")
    return CliRunner().invoke(cli, [*arguments, "--profile", file])


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> x509.Certificate:
    """The certificate that the client is shown; both ends in memory."""
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(a, b, server_hostname=name),
        server.wrap_bio(b, a, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    shown = ends[0].getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown)


def test_a_client_that_trusts_the_ca_connects_by_every_name(config: Config) -> None:
    server = tls_context(config)
    assert server is not None
    for name in ("localhost", "127.0.0.1", "::1", "exchange.example", "10.1.2.3"):
        handshake(server, client_context(config), name)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client_context(config), "elsewhere.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, ssl.create_default_context(), "localhost")


def test_new_connections_get_a_renewed_certificate(config: Config) -> None:
    server = tls_context(config)
    assert server is not None
    before = handshake(server, client_context(config), "localhost")
    assert rtes(config, "certs", "renew", "--san", "new.example").exit_code == 0
    after = handshake(server, client_context(config), "new.example")
    assert after.serial_number != before.serial_number
    assert "exchange.example" in subject_names(after)
    TlsFiles.of(config).cert.write_text("half a certif")
    again = handshake(server, client_context(config), "localhost")
    assert again.serial_number == after.serial_number


def test_a_client_certificate_can_be_asked_for(tmp_path: Path) -> None:
    certs.init(configured(tmp_path))
    config = configured(tmp_path, tls_client_auth=True)
    server = tls_context(config)
    assert server is not None
    handshake(server, client_context(config), "localhost")
    stranger = ssl.create_default_context(cafile=TlsFiles.of(config).ca)
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
        handshake(server, stranger, "localhost")


def test_keys_are_private_from_the_first_moment(tmp_path: Path) -> None:
    os.umask(0o000)
    try:
        certs.init(configured(tmp_path))
    finally:
        os.umask(0o022)
    directory = tmp_path / "run" / "certs"
    modes = {p.name: p.stat().st_mode & 0o777 for p in directory.iterdir()}
    assert {name for name, mode in modes.items() if mode == 0o600} == {
        "ca.key", "server.key", "client.key"
    }  # fmt: skip
    assert directory.stat().st_mode & 0o777 == 0o700


def test_openssl_agrees(config: Config) -> None:
    files = TlsFiles.of(config)
    command = ["openssl", "verify", "-x509_strict", "-CAfile", str(files.ca), str(files.cert)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.stdout == f"{files.cert}: OK\n", told.stderr


def test_what_is_wrong_is_said(config: Config, tmp_path: Path) -> None:
    files = TlsFiles.of(config)
    files.key.chmod(0o644)
    with pytest.raises(ValueError, match="can be read by others; run: chmod 600"):
        tls_context(config)
    files.key.chmod(0o600)
    key = files.key.read_text()
    files.key.write_text((files.ca.with_suffix(".key")).read_text())
    with pytest.raises(TlsError, match="it is not the key of the certificate"):
        tls_context(config)
    files.key.write_text(key)
    ca = files.ca.read_text()
    (tmp_path / "other").mkdir()
    other = configured(tmp_path / "other")
    certs.init(other)
    files.ca.write_text(TlsFiles.of(other).ca.read_text())
    with pytest.raises(TlsError, match="was not issued by"):
        tls_context(config)
    files.ca.write_text(ca)
    later = time.time() + 400 * DAY_S
    with pytest.raises(TlsError, match=r"expired at .*; run rtes certs renew"):
        check_certificate(files.cert, later)
    with pytest.raises(TlsError, match="is not valid before"):
        check_certificate(files.cert, 0)
    with pytest.raises(TlsError, match="names no host as a SAN"):
        check_certificate(files.cert.with_name("client.crt"), time.time())
    files.cert.unlink()
    with pytest.raises(TlsError, match="rtes certs init makes certificates"):
        tls_context(config)


GUIDE = (
    "openssl req -x509 -newkey rsa:2048 -keyout server.key -out server.crt -days 365 "
    "-subj /CN=localhost"
)


@pytest.mark.parametrize("passphrase", ["", "hunter2"])
def test_certificates_made_with_openssl(tmp_path: Path, passphrase: str) -> None:
    """As in the deployment guide, with what its command lacks: a SAN, and a way to ask nobody."""
    how = ["-passout", f"pass:{passphrase}"] if passphrase else ["-nodes"]
    command = [*GUIDE.split(), "-addext", "subjectAltName=DNS:localhost", *how]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "server.key").chmod(0o600)
    environ = {
        "RTES_TLS_CERT_FILE": str(tmp_path / "server.crt"),
        "RTES_TLS_KEY_FILE": str(tmp_path / "server.key"),
    }
    configured(tmp_path)
    wrong = load(tmp_path / "config.json", {**environ, "RTES__SECURITY__TLS_KEY_PASSPHRASE": "x"})
    if passphrase:
        with pytest.raises(TlsError, match=r"cannot be read with a wrong security\.tls_key_pass"):
            tls_context(wrong)
        environ["RTES__SECURITY__TLS_KEY_PASSPHRASE"] = passphrase
    config = load(tmp_path / "config.json", environ)
    server = tls_context(config)
    assert server is not None
    trusting = ssl.create_default_context(cafile=tmp_path / "server.crt")
    handshake(server, trusting, "localhost")
    with pytest.raises(TlsError, match="whoever made it renews it"):
        certs.init(config)


def test_a_key_with_a_passphrase_does_not_ask_at_the_terminal(tmp_path: Path) -> None:
    test_certificates_made_with_openssl(tmp_path, "hunter2")
    environ = {
        "RTES_TLS_CERT_FILE": str(tmp_path / "server.crt"),
        "RTES_TLS_KEY_FILE": str(tmp_path / "server.key"),
    }
    with pytest.raises(TlsError, match=r"with no security\.tls_key_passphrase"):
        tls_context(load(tmp_path / "config.json", environ))


def test_days_left_and_status(config: Config, tmp_path: Path) -> None:
    now_s = time.time()
    left = certificate_days_left(config, now_s)
    assert left is not None
    assert 364 < left < 366
    assert certificate_days_left(configured(tmp_path, tls=False), now_s) is None
    assert rtes(config, "certs", "status").exit_code == 0
    rows = json.loads(rtes(config, "certs", "status", "--json").stdout)
    expires = read_certificate(TlsFiles.of(config).cert).not_valid_after_utc
    assert datetime.fromisoformat(rows[1]["expires"]) == expires > datetime.now(UTC)
    TlsFiles.of(config).cert.write_text(
        TlsFiles.of(config).cert.with_name("client.crt").read_text()
    )
    bad = rtes(config, "certs", "status", "--json")
    assert bad.exit_code == 1
    assert "names no host" in json.loads(bad.stdout)[1]["problem"]


def with_certificates_of_ones_own(directory: Path, **security: Any) -> Config:
    """They were made elsewhere: nothing is in run_dir/certs."""
    (directory / "elsewhere").mkdir()
    made = configured(directory / "elsewhere")
    certs.init(made)
    files = TlsFiles.of(made)
    files.ca.rename(files.ca.with_name("company.pem"))
    named = {"tls_cert_file": str(files.cert), "tls_key_file": str(files.key), **security}
    return configured(directory, **named)


def test_status_of_certificates_of_ones_own(tmp_path: Path) -> None:
    config = with_certificates_of_ones_own(tmp_path)
    shown = rtes(config, "certs", "status", "--json")
    assert shown.exit_code == 0, shown.stderr
    (row,) = json.loads(shown.stdout)
    assert row["file"] == str(config.security.tls_cert_file)
    ca = tmp_path / "elsewhere" / "run" / "certs" / "company.pem"
    config = configured(tmp_path, **json.loads(config.security.model_dump_json(include={
        "tls_cert_file", "tls_key_file"})), tls_ca_file=str(ca))  # fmt: skip
    shown = rtes(config, "certs", "status", "--json")
    assert shown.exit_code == 0, shown.stdout  # no host needs to be named by it
    assert [row["file"] for row in json.loads(shown.stdout)] == [
        str(ca), str(config.security.tls_cert_file)
    ]  # fmt: skip


def test_a_ca_that_clients_certificates_need_and_nobody_has_is_named(tmp_path: Path) -> None:
    config = with_certificates_of_ones_own(tmp_path, tls_client_auth=True)
    ca = TlsFiles.of(config).ca
    with pytest.raises(TlsError, match=rf"{ca}: No such file or directory; .*tls_ca_file"):
        tls_context(config)
    said = rtes(config, "config", "check")
    assert (said.exit_code, len(said.stderr.splitlines())) == (1, 1)
    assert str(ca) in said.stderr
    ca.parent.mkdir(parents=True, exist_ok=True)
    ca.write_text("not PEM")
    with pytest.raises(TlsError, match=f"{ca}: "):
        tls_context(config)


def test_init_makes_only_what_is_missing(config: Config) -> None:
    assert certs.init(config) == []
    TlsFiles.of(config).cert.unlink()
    assert certs.init(config) == [TlsFiles.of(config).cert]
    (TlsFiles.of(config).ca.with_suffix(".key")).unlink()
    with pytest.raises(TlsError, match="there is no CA"):
        certs.renew(config)
