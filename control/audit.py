"""The audit log: who changed or was refused what, in a hash chain whose head lies elsewhere.

One JSON line per record; `hash` covers the record and the hash before it. The head (sequence
number and hash, authenticated with the audit key) is a file of its own: an edit or a deletion
breaks the chain, a cut or a rewrite does not end at the head. The head is told before a line is
written and again after it, so a death in between is no alarm. Secrets are kept as keyed HMAC.
"""

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rtes.common.errors import OperatorError
from rtes.common.paths import Paths
from rtes.common.secrets import read_private
from rtes.common.storage import PRIVATE, replace
from rtes.control.files import locked

START: Final = "0" * 64
KEY_ID: Final = "1"  # every record names it, so that a later key leaves old records readable
FIELD_CHARACTERS_MAX: Final = 4_000


class AuditError(OperatorError):
    """The log cannot be written, or it is not what was written."""


@dataclass(frozen=True)
class Head:
    """Where the log ends; next_hash: of a line that may or may not have been written."""

    seq: int = 0
    hash: str = START
    next_hash: str = ""


class AuditLog:
    """The log of one exchange."""

    def __init__(self, paths: Paths) -> None:
        self.file = paths.audit_file
        self._head_file = paths.audit_head_file
        self._key_file = paths.key_file("audit")
        self._lock = paths.run_dir / "audit.lock"

    def append(self, actor: str, action: str, **fields: Any) -> int:
        """Write one record durably; returns its number. fields: object, old, new, reason,
        outcome. Raises AuditError: the change must then not be made."""
        try:
            with locked(self._lock):
                return self._append(actor, action, fields)
        except OSError as error:
            raise AuditError(
                f"the audit log {self.file} cannot be written ({error.strerror}); nothing was "
                "changed"
            ) from None

    def _append(self, actor: str, action: str, fields: dict[str, Any]) -> int:
        head = self._settled()
        record = {
            "seq": head.seq + 1,
            "ts": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="microseconds"),
            "actor": actor,
            "action": action,
            **{name: _short(value) for name, value in fields.items()},
            "key": KEY_ID,
            "prev": head.hash,
        }
        record["hash"] = digest(record)
        self._write_head(Head(head.seq, head.hash, record["hash"]))
        fd = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE)
        with os.fdopen(fd, "w") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(fd)
        self._write_head(Head(record["seq"], record["hash"]))
        return int(record["seq"])

    def records(self) -> Iterator[dict[str, Any]]:
        """The records, each checked against the one before. Raises AuditError."""
        previous = START
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        for seq, line in enumerate(lines, 1):
            record = _parsed(line, f"{self.file}:{seq}")
            if record.get("seq") != seq:
                raise AuditError(f"{self.file}:{seq}: record {seq} is missing or out of place")
            if record.get("prev") != previous or record.get("hash") != digest(record):
                raise AuditError(f"{self.file}:{seq}: record {seq} is not as it was written")
            previous = record["hash"]
            yield record

    def verify(self) -> Head:
        """The head, when the log is whole. Raises AuditError that says what is not."""
        seq, last = 0, START
        for record in self.records():
            seq, last = record["seq"], record["hash"]
        head = self._head(seq)
        if (seq, last) == (head.seq, head.hash) or (seq, last) == (head.seq + 1, head.next_hash):
            return Head(seq, last)
        if seq < head.seq:
            raise AuditError(
                f"{self.file} ends at record {seq}, but {head.seq} were written: its end was cut"
            )
        raise AuditError(
            f"{self.file}: record {seq} is not what {self._head_file} says was written last: the "
            "log was rewritten, or added to by hand"
        )

    def fingerprint(self, secret: str) -> str:
        """Tells whether a secret changed, without telling it."""
        mac = hmac.new(self._key(), secret.encode(), hashlib.sha256).hexdigest()
        return f"hmac:{KEY_ID}:{mac[:32]}"

    def _settled(self) -> Head:
        """The head, with what a death in the middle of a record left settled."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        if not lines:
            head = self._head(0)
            if head.seq:
                raise AuditError(f"{self.file} is gone or empty, but {head.seq} were written")
            return Head()
        last = lines[-1]
        record = _parsed(last, str(self.file))
        head = self._head(record.get("seq", 0))
        if record.get("hash") in (head.hash, head.next_hash) and digest(record) == record["hash"]:
            return Head(record["seq"], record["hash"])
        raise AuditError(f"{self.file} was changed; run rtes audit verify. Nothing was changed")

    def _head(self, seq: int) -> Head:
        if not self._head_file.exists():
            if seq:
                raise AuditError(f"{self._head_file} is gone: the log's end cannot be shown")
            return Head()
        held = _parsed(read_private(self._head_file), str(self._head_file))
        mac = held.pop("mac", "")
        if not hmac.compare_digest(mac, self._mac(held)):
            raise AuditError(f"{self._head_file} was not written by this exchange")
        return Head(**held)

    def _write_head(self, head: Head) -> None:
        held = {"seq": head.seq, "hash": head.hash, "next_hash": head.next_hash}
        replace(self._head_file, json.dumps({**held, "mac": self._mac(held)}) + "\n")

    def _mac(self, held: dict[str, Any]) -> str:
        body = json.dumps(held, sort_keys=True).encode()
        return hmac.new(self._key(), b"head" + body, hashlib.sha256).hexdigest()

    def _key(self) -> bytes:
        if not self._key_file.exists():
            if self.file.exists():
                raise AuditError(f"{self._key_file} is gone: it authenticates the audit log")
            replace(self._key_file, json.dumps({KEY_ID: secrets.token_hex(32)}) + "\n")
        return bytes.fromhex(json.loads(read_private(self._key_file))[KEY_ID])


def digest(record: dict[str, Any]) -> str:
    """The hash of a record: of all its fields but the hash itself."""
    body = {name: value for name, value in record.items() if name != "hash"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _parsed(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise AuditError(f"{where} is not a record")
    return record


def _short(value: Any) -> Any:
    """A record has a bounded length, whatever a peer sends as a reason."""
    return value[:FIELD_CHARACTERS_MAX] if isinstance(value, str) else value
