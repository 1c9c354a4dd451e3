"""Certificates of the exchange's own: a CA, the server's and a client's, as PEM files.

Keys are made with mode 0600 in a directory of mode 0700. A renewal makes new keys under the same
CA, so that whoever trusts it goes on; the running server takes them for new connections.
"""

import ipaddress
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rtes.common.config import Config
from rtes.common.paths import Paths
from rtes.common.secrets import read_private
from rtes.common.storage import replace
from rtes.common.tls import (
    DAY_S,
    TlsError,
    TlsFiles,
    check_certificate,
    read_certificate,
    subject_names,
)

CA_DAYS: Final = 3_650
LEAF_LIFE: Final = timedelta(days=365)
RENEW_DAYS: Final = 30  # `certs status` says so from here on
CLOCK_SKEW: Final = timedelta(minutes=5)
USUAL_SANS: Final = ("localhost", "127.0.0.1", "::1")
_PUBLIC_MODE: Final = 0o644
_PrivateKey = ec.EllipticCurvePrivateKey


def init(config: Config, sans: Sequence[str] = ()) -> list[Path]:
    """Make CA, server's and client's certificate where they are missing; returns the new ones.
    sans are host names or addresses besides the usual ones. Raises TlsError."""
    _our_own(config)
    directory = _directory(config)
    made = []
    if not (directory / "ca.key").exists():
        key, name = ec.generate_private_key(ec.SECP256R1()), _named("RTES CA")
        _write(directory, "ca", key, _ca(key, name))
        made.append(directory / "ca.crt")
    for leaf in ("server", "client"):
        if not (directory / f"{leaf}.crt").exists():
            made.append(_issue(directory, leaf, _sans(config, sans) if leaf == "server" else []))
    return made


def renew(
    config: Config, sans: Sequence[str] = (), life: timedelta = LEAF_LIFE
) -> list[Path]:
    """New keys and certificates for server and client, with the SANs they had and these."""
    _our_own(config)
    directory = _directory(config)
    if not (directory / "ca.key").exists():
        raise TlsError(f"there is no CA in {directory}; run rtes certs init")
    had = subject_names(read_certificate(directory / "server.crt"))
    wanted = list(dict.fromkeys([*had, *_sans(config, sans)]))
    return [_issue(directory, "server", wanted, life), _issue(directory, "client", [], life)]


def client(config: Config, name: str) -> tuple[bytes, dict[Path, str]]:
    """A certificate for an operator's client: as DER, and the PEM files to write."""
    _our_own(config)
    directory = _directory(config)
    if not (directory / "ca.key").exists():
        raise TlsError(f"there is no CA in {directory}; run rtes certs init")
    key, made = _signed(directory, name, [], LEAF_LIFE, ExtendedKeyUsageOID.CLIENT_AUTH)
    file = directory / f"operator@{name}.crt"
    texts = {file.with_suffix(".key"): _private(key), file: _public(made)}
    return made.public_bytes(serialization.Encoding.DER), texts


def status(config: Config) -> list[dict[str, Any]]:
    """Each certificate: file, names, when it expires, and what is wrong with it."""
    files, security = TlsFiles.of(config), config.security
    of_others = security.tls_cert_file is not None and security.tls_ca_file is None
    without_ca = of_others and not security.tls_client_auth and not files.ca.exists()
    cas = [] if without_ca else [_status_of(files.ca, is_ca=True)]
    return [*cas, _status_of(files.cert, is_ca=False)]


def _status_of(path: Path, is_ca: bool) -> dict[str, Any]:
    certificate = read_certificate(path)
    left = (certificate.not_valid_after_utc.timestamp() - time.time()) / DAY_S
    problem = ""
    try:
        if not is_ca:
            check_certificate(path, time.time())
    except TlsError as error:
        problem = str(error)
    if not problem and left < RENEW_DAYS:
        problem = "expires soon; run rtes certs renew"
    return {
        "file": str(path),
        "names": subject_names(certificate),
        "expires": certificate.not_valid_after_utc.isoformat(),
        "days_left": round(left, 1),
        "problem": problem,
    }


def _our_own(config: Config) -> None:
    if config.security.tls_cert_file is not None:
        raise TlsError(
            f"the certificate is {config.security.tls_cert_file}, which the configuration names; "
            "whoever made it renews it (unset RTES_TLS_CERT_FILE and RTES_TLS_KEY_FILE to have "
            "one made here)"
        )


def _directory(config: Config) -> Path:
    paths = Paths(config)
    paths.prepare()
    return paths.certs_dir


def _sans(config: Config, more: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*USUAL_SANS, config.serving("health").host, *more]))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _started(subject: x509.Name, issuer: x509.Name, key: _PrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - CLOCK_SKEW)
    )


def _ca(key: _PrivateKey, name: x509.Name) -> x509.Certificate:
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    return (
        _started(name, name, key)
        .not_valid_after(datetime.now(UTC) + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )


def _issue(
    directory: Path, leaf: str, sans: Sequence[str], life: timedelta = LEAF_LIFE
) -> Path:
    use = ExtendedKeyUsageOID.SERVER_AUTH if leaf == "server" else ExtendedKeyUsageOID.CLIENT_AUTH
    _write(directory, leaf, *_signed(directory, f"rtes-{leaf}", sans, life, use))
    return directory / f"{leaf}.crt"


def _signed(
    directory: Path, name: str, sans: Sequence[str], life: timedelta, use: x509.ObjectIdentifier
) -> tuple[_PrivateKey, x509.Certificate]:
    """A new key and its certificate, by our CA."""
    ca = read_certificate(directory / "ca.crt")
    pem = read_private(directory / "ca.key").encode()
    ca_key = serialization.load_pem_private_key(pem, None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = (
        _started(_named(name), ca.subject, key)
        .not_valid_after(datetime.now(UTC) + life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(authority, critical=False)
    )
    if sans:
        names = x509.SubjectAlternativeName([_general(name) for name in sans])
        builder = builder.add_extension(names, critical=False)
    return key, builder.sign(ca_key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private(key: _PrivateKey) -> str:
    form, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, bare).decode()


def _public(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _write(directory: Path, name: str, key: _PrivateKey, certificate: x509.Certificate) -> None:
    replace(directory / f"{name}.key", _private(key))
    replace(directory / f"{name}.crt", _public(certificate), _PUBLIC_MODE)
