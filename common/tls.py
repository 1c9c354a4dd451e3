"""TLS of the HTTP pages: which files, checked before use, and reloaded for new connections.

The private key must be readable by its owner only, match its certificate, be within its dates
and name hosts as SANs (clients ignore the CN). A server's context looks at its files at each
handshake: after a renewal new connections get the new certificate and open ones stay.
"""

import http.client
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from rtes.common import logs
from rtes.common.access import HEALTH_READ, Access, certificate_fingerprint, lacking
from rtes.common.config import Config
from rtes.common.errors import OperatorError
from rtes.common.paths import Paths
from rtes.common.secrets import read_private

DAY_S: Final = 86_400
_RENEW: Final = "run rtes certs renew"


class TlsError(OperatorError):
    """A certificate or key cannot be used."""


@dataclass(frozen=True)
class TlsFiles:
    """Where certificate, key and CA of the HTTP pages lie."""

    cert: Path
    key: Path
    ca: Path

    @classmethod
    def of(cls, config: Config) -> "TlsFiles":
        security, made = config.security, Paths(config).certs_dir
        return cls(
            security.tls_cert_file or made / "server.crt",
            security.tls_key_file or made / "server.key",
            security.tls_ca_file or made / "ca.crt",
        )

    def stamp(self) -> tuple[int, ...]:
        """Changes whenever a file does."""
        return tuple(p.stat().st_mtime_ns for p in (self.cert, self.key))


def tls_context(config: Config) -> ssl.SSLContext | None:
    """The context of the HTTP server; None when TLS is off. Raises TlsError, SecretError."""
    if not config.security.tls:
        return None
    files = TlsFiles.of(config)
    front = _server_context(config, files)
    stamped, serving = files.stamp(), front

    def newest(connection: ssl.SSLObject, _name: str, _front: ssl.SSLContext) -> None:
        nonlocal stamped, serving
        try:
            if (stamp := files.stamp()) != stamped:
                stamped, serving = stamp, _server_context(config, files)
        except (OSError, ValueError):
            pass  # half written, or bad: the last good one serves on; `certs status` tells
        connection.context = serving

    front.sni_callback = newest
    return front


def client_context(config: Config) -> ssl.SSLContext:
    """For this host's own tools: trusts the exchange's CA, shows its client certificate."""
    files, made = TlsFiles.of(config), Paths(config).certs_dir
    if not files.ca.exists():
        return ssl.create_default_context()
    context = ssl.create_default_context(cafile=files.ca)
    if config.security.tls_client_auth and (made / "client.key").exists():
        context.load_cert_chain(made / "client.crt", made / "client.key")
    return context


def http_connection(config: Config, timeout_s: float) -> http.client.HTTPConnection:
    """A connection to the exchange's HTTP pages, with TLS when it is on."""
    health = config.serving("health")
    host, port = health.host, health.ports["http"]
    if not config.security.tls:
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    context = client_context(config)
    return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)


class ClientCertificates:
    """Whose certificate may see the details of the HTTP pages, as access says it now."""

    def __init__(self, config: Config) -> None:
        self._paths = Paths(config)

    def lacks(self, der: bytes) -> str:
        """Why the holder of this certificate (DER) may not; empty when it may."""
        try:
            if der == self._own():
                return ""
            owner = self._paths.run_dir.stat().st_uid
            access = Access.load(self._paths.access_file, owner)
            identity = access.of_certificate(der) or f"cert:?:{certificate_fingerprint(der)}"
        except (OperatorError, OSError) as error:
            return f"who may see this cannot be read: {error}"
        if access.may(identity, HEALTH_READ):
            return ""
        logs.get().warning("refused", actor=identity, permission=HEALTH_READ)
        return lacking(identity, HEALTH_READ, "see this")

    def _own(self) -> bytes:
        """Of this host's own tools."""
        file = self._paths.certs_dir / "client.crt"
        if not file.exists():
            return b""
        return read_certificate(file).public_bytes(serialization.Encoding.DER)


def certificate_days_left(config: Config, now_s: float) -> float | None:
    """Until the certificate in use expires; None when TLS is off. Raises TlsError."""
    if not config.security.tls:
        return None
    expires = read_certificate(TlsFiles.of(config).cert).not_valid_after_utc
    return (expires.timestamp() - now_s) / DAY_S


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate in a PEM file. Raises TlsError."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise TlsError(
            f"{path}: {error.strerror}; rtes certs init makes certificates that the "
            "configuration does not name"
        ) from None
    except ValueError:
        raise TlsError(f"{path} is not a PEM certificate") from None


def check_certificate(path: Path, now_s: float) -> x509.Certificate:
    """Raises TlsError when it is outside of its dates or names no host."""
    certificate = read_certificate(path)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now_s < begins.timestamp():
        raise TlsError(f"{path} is not valid before {begins:%Y-%m-%d %H:%M} UTC")
    if now_s > ends.timestamp():
        raise TlsError(f"{path} expired at {ends:%Y-%m-%d %H:%M} UTC; {_RENEW}")
    if not subject_names(certificate):
        raise TlsError(f"{path} names no host as a SAN, and clients ignore the CN; {_RENEW}")
    return certificate


def subject_names(certificate: x509.Certificate) -> list[str]:
    """Its SANs: host names and addresses."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in found.value]


def _server_context(config: Config, files: TlsFiles) -> ssl.SSLContext:
    security = config.security
    certificate = check_certificate(files.cert, time.time())
    passphrase = security.tls_key_passphrase
    # a callable, since OpenSSL would else ask at the terminal
    password = passphrase.get_secret_value() if passphrase else ""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        read_private(files.key)
        context.load_cert_chain(files.cert, files.key, lambda: password)
    except OSError as error:  # ssl.SSLError is one: wrong passphrase, or another key's
        said = error.strerror if not isinstance(error, ssl.SSLError) else _mismatch(error, config)
        raise TlsError(f"{files.key}: {said}") from None
    if security.tls_cert_file is None:
        _issued_by(certificate, files)
    if security.tls_client_auth:
        try:
            context.load_verify_locations(files.ca)
        except OSError as error:  # ssl.SSLError is one
            raise TlsError(
                f"{files.ca}: {error.strerror}; security.tls_client_auth needs the CA of the "
                "clients' certificates there, or security.tls_ca_file to name another"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _mismatch(error: ssl.SSLError, config: Config) -> str:
    if "MISMATCH" in (error.reason or ""):
        return "it is not the key of the certificate"
    given = "a wrong" if config.security.tls_key_passphrase else "no"
    return f"cannot be read with {given} security.tls_key_passphrase"


def _issued_by(certificate: x509.Certificate, files: TlsFiles) -> None:
    try:
        certificate.verify_directly_issued_by(read_certificate(files.ca))
    except Exception:
        raise TlsError(f"{files.cert} was not issued by {files.ca}; {_RENEW}") from None
