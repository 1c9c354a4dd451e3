"""Encrypted values: one AES-256-GCM envelope per value, bound to where it stands.

An envelope is ENC[v1,AES256_GCM,kid,iv,data+tag]; iv and data+tag are base64. Environment, path
and key id are authenticated with it, so a value that is moved to another place does not open.
Keys come from RTES_ENCRYPTION_KEY_<kid> (64 hex characters) or from the file that
RTES_ENCRYPTION_KEY_FILE_<kid> names. Errors name the value and the key, never what they hold.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rtes.common.errors import OperatorError

KEY_VARIABLE: Final = "RTES_ENCRYPTION_KEY_"
KEY_FILE_VARIABLE: Final = "RTES_ENCRYPTION_KEY_FILE_"
KEY_BYTES: Final = 32
IV_BYTES: Final = 12
TAG_BYTES: Final = 16
MARK: Final = "ENC["
_ENVELOPE: Final = re.compile(
    r"ENC\[v1,AES256_GCM,(\w{1,64}),([A-Za-z0-9+/]+=*),([A-Za-z0-9+/]+=*)\]", re.ASCII
)
_KID: Final = re.compile(r"(?!FILE_)\w{1,64}", re.ASCII)
_HEX: Final = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")
_DISTINCT_MIN: Final = 8  # a random key has about 30 distinct bytes; a placeholder has few


class SecretError(OperatorError):
    """An encrypted value or a key cannot be used."""


@dataclass(frozen=True)
class Envelope:
    """The parts of an encrypted value."""

    kid: str
    iv: bytes
    data: bytes  # with the tag at its end

    @classmethod
    def parse(cls, text: str, where: str) -> "Envelope":
        """Raises SecretError that names where."""
        found = _ENVELOPE.fullmatch(text)
        try:
            if found is None:
                raise ValueError
            kid, iv, data = found.groups()
            parsed = cls(kid, _bytes(iv), _bytes(data))
            if str(parsed) != text:  # base64 that has more than one spelling
                raise ValueError
        except (ValueError, binascii.Error):
            raise SecretError(
                f"{where} is not an encrypted value; they look like "
                f"ENC[v1,AES256_GCM,key id,iv,data]"
            ) from None
        if len(parsed.iv) != IV_BYTES or len(parsed.data) < TAG_BYTES:
            raise SecretError(f"{where}: its encrypted value is cut short")
        return parsed

    def __str__(self) -> str:
        iv, data = (base64.b64encode(part).decode() for part in (self.iv, self.data))
        return f"ENC[v1,AES256_GCM,{self.kid},{iv},{data}]"


def is_envelope(value: Any) -> bool:
    """Whether a value claims to be encrypted."""
    return isinstance(value, str) and value.startswith(MARK)


def check_kid(kid: str) -> str:
    """Raises SecretError when kid cannot be a key id."""
    if not _KID.fullmatch(kid):
        raise SecretError(
            f"key id {kid!r}: letters, digits and _ only, 64 at most, and not FILE_ first"
        )
    return kid


@dataclass(frozen=True)
class Key:
    """One key and where it came from."""

    kid: str
    source: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.kid!r}, {self.source!r})"

    @property
    def fingerprint(self) -> str:
        """Tells two keys apart and nothing more."""
        return hashlib.sha256(b"rtes key fingerprint" + self.secret).hexdigest()[:12]


class KeyRing:
    """The keys of a process, by key id."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        self.keys = dict(keys)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "KeyRing":
        """The keys that the environment names. Raises SecretError."""
        keys: dict[str, Key] = {}
        for name, text in environ.items():
            if name.startswith(KEY_FILE_VARIABLE):
                key = _key_of_file(name, name.removeprefix(KEY_FILE_VARIABLE), Path(text))
            elif name.startswith(KEY_VARIABLE):
                key = Key(name.removeprefix(KEY_VARIABLE), name, _key(name, text))
            else:
                continue
            check_kid(key.kid)
            known = keys.setdefault(key.kid, key)
            if known.secret != key.secret:
                raise SecretError(f"{known.source} and {name} are different keys; keep one")
        return cls(keys)

    def get(self, kid: str, where: str) -> Key:
        """Raises SecretError that says how the key is given."""
        key = self.keys.get(kid)
        if key is None:
            have = f"; there are keys {', '.join(sorted(self.keys))}" if self.keys else ""
            raise SecretError(
                f"{where} needs key {kid}: set {KEY_VARIABLE}{kid} or "
                f"{KEY_FILE_VARIABLE}{kid}{have}"
            )
        return key

    def encrypt(self, value: Any, environment: str, path: str, kid: str) -> str:
        """The envelope of any JSON value."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - see below

        key = self.get(check_kid(kid), path)
        iv = os.urandom(IV_BYTES)
        plain = json.dumps(value).encode()
        data = AESGCM(key.secret).encrypt(iv, plain, _bound_to(environment, path, kid))
        return str(Envelope(kid, iv, data))

    def decrypt(self, text: str, environment: str, path: str, where: str = "") -> Any:
        """The value. where names it in errors, path if not given. Raises SecretError."""
        # 7 MB that a service whose configuration holds no envelope does without
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        where = where or path
        envelope = Envelope.parse(text, where)
        key = self.get(envelope.kid, where)
        bound = _bound_to(environment, path, envelope.kid)
        try:
            return json.loads(AESGCM(key.secret).decrypt(envelope.iv, envelope.data, bound))
        except InvalidTag:
            raise SecretError(
                f"{where} does not open with key {envelope.kid}: it was changed, or it was "
                f"encrypted with another key, for another environment than {environment} or for "
                f"another path than {path}"
            ) from None


def read_private(path: Path) -> str:
    """The text of a file that only its owner may read. Raises SecretError, OSError."""
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretError(f"{path} can be read by others; run: chmod 600 {path}")
    return path.read_text()


def _key_of_file(name: str, kid: str, path: Path) -> Key:
    try:
        return Key(kid, f"{name}={path}", _key(name, read_private(path).strip()))
    except OSError as error:
        raise SecretError(f"{name}={path}: {error.strerror}") from None


def _key(name: str, text: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise SecretError(
            f"{name} must be {2 * KEY_BYTES} hex characters ({KEY_BYTES} bytes), it has "
            f"{len(text)} characters; make one: openssl rand -hex {KEY_BYTES}"
        )
    key = bytes.fromhex(text)
    if len(set(key)) < _DISTINCT_MIN:
        raise SecretError(f"{name} is a placeholder; make a key: openssl rand -hex {KEY_BYTES}")
    return key


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _bound_to(environment: str, path: str, kid: str) -> bytes:
    return json.dumps(["rtes", "v1", environment, path, kid]).encode()
