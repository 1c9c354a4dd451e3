"""The operations an operator has, each with the permission it needs."""

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rtes.common.access import check_name
from rtes.common.errors import OperatorError
from rtes.common.secrets import KEY_BYTES, KEY_FILE_VARIABLE, KEY_VARIABLE, check_kid
from rtes.common.service import server_key_pair
from rtes.common.storage import replace
from rtes.control import certs, config_files, flags, participants
from rtes.control.desk import Desk, Operation, Plan
from rtes.control.setup import new_key
from rtes.control.switches import SWITCHES

TAIL_MAX: Final = 1_000


def generate_key(desk: Desk, kid: str, file: str = "") -> Plan:
    """A new encryption key; answers the line that gives it to a process."""
    check_kid(kid)
    key = secrets.token_hex(KEY_BYTES)
    path = Path(file).absolute()
    if file and path.exists():
        raise OperatorError(f"{path} exists; a key is never overwritten")

    def apply() -> str:
        if not file:
            return f"export {KEY_VARIABLE}{kid}={key}"
        replace(path, key + "\n")
        return f"export {KEY_FILE_VARIABLE}{kid}={path}"

    return Plan(f"encryption key {kid}", apply, new=desk.audit.fingerprint(key))


def grant(desk: Desk, identity: str, role: str) -> Plan:
    full = desk.access.identity(identity)
    return _access(desk, full, desk.access.granted(full, role).roles_of)


def revoke(desk: Desk, identity: str, role: str) -> Plan:
    full = desk.access.identity(identity)
    return _access(desk, full, desk.access.revoked(full, role).roles_of)


def operator_key(desk: Desk, name: str) -> Plan:
    """A key for an operator on another host, with no role yet, or with those of the key that it
    replaces. The file that is made goes to the operator."""
    if desk.config.exchange.control_port is None:
        raise OperatorError("exchange.control_port is not set: nothing listens for other hosts")
    public, key = new_key(name, server_key_pair(desk.config)["public_key"])
    key["endpoint"] = desk.config.serving("control").control_endpoint
    before = desk.access.identity(f"key:{name}")
    after = desk.access.with_key(name, public)
    identity, file = after.identity(f"key:{name}"), desk.paths.key_file(f"operator@{name}")

    def apply() -> dict[str, str]:
        replace(file, json.dumps(key, indent=2) + "\n")
        replace(desk.paths.access_file, after.to_json())
        return {"identity": identity, "key_file": str(file)}

    return Plan(identity, apply, before if before in desk.access.roles_of else None, identity)


def _access(desk: Desk, identity: str, after: Mapping[str, list[str]]) -> Plan:
    from_, to = desk.access.roles_of.get(identity, []), after.get(identity, [])
    access = type(desk.access)(after)

    def apply() -> list[str]:
        replace(desk.paths.access_file, access.to_json())
        return to

    return Plan(identity, apply, from_, to)


def grants(desk: Desk) -> Plan:
    return Plan("access", lambda: desk.access.roles_of)


def tail(desk: Desk, count: int = 20) -> Plan:
    """The last records. The whole chain is checked on the way."""
    return Plan("audit", lambda: list(desk.audit.records())[-min(count, TAIL_MAX) :])


def verify(desk: Desk) -> Plan:
    def apply() -> dict[str, Any]:
        head = desk.audit.verify()
        return {"records": head.seq, "head": head.hash}

    return Plan("audit", apply)


def export(desk: Desk) -> Plan:
    """All records, once the log is shown to be whole."""

    def apply() -> list[dict[str, Any]]:
        desk.audit.verify()
        return list(desk.audit.records())

    return Plan("audit", apply)


def init_certs(desk: Desk, sans: Sequence[str] = ()) -> Plan:
    def apply() -> list[str]:
        return [str(p) for p in certs.init(desk.config, sans)]

    return Plan("certificates", apply, new=list(sans))


def renew_certs(desk: Desk, sans: Sequence[str] = ()) -> Plan:
    def apply() -> list[str]:
        return [str(p) for p in certs.renew(desk.config, sans)]

    return Plan("certificates", apply, new=list(sans))


def client_certificate(desk: Desk, name: str) -> Plan:
    """A certificate for an operator's browser or tools, with no role yet, or with those of the
    one that it replaces. The two files that are made, and the CA's, go to the operator."""
    check_name(name)
    der, files = certs.client(desk.config, name)
    before = desk.access.identity(f"cert:{name}")
    after = desk.access.with_certificate(name, der)
    identity = after.identity(f"cert:{name}")

    def apply() -> dict[str, Any]:
        for file, text in files.items():
            replace(file, text)
        replace(desk.paths.access_file, after.to_json())
        return {"identity": identity, "files": [str(file) for file in files]}

    return Plan(identity, apply, before if before in desk.access.roles_of else None, identity)


def certs_status(desk: Desk) -> Plan:
    return Plan("certificates", lambda: certs.status(desk.config))


# What works on the exchange itself: for every identity, over both control sockets.
SHARED: Final[Mapping[str, Operation]] = {
    **SWITCHES,
    "participants list": Operation("participants:read", participants.listed, changes=False),
    "participants add": Operation("participants:write", participants.add),
    "participants revoke": Operation("participants:write", participants.revoke),
    "participants limits": Operation("participants:write", participants.limits),
    "participants rotate": Operation("participants:write", participants.rotate),
    "access list": Operation("access:read", grants, changes=False),
    "access grant": Operation("access:write", grant),
    "access key": Operation("access:write", operator_key),
    "access revoke": Operation("access:write", revoke),
    "audit tail": Operation("audit:read", tail, changes=False),
    "audit verify": Operation("audit:read", verify, changes=False),
    "audit export": Operation("audit:read", export),
    "flags list": Operation("config:read", flags.listed, changes=False),
    "flags explain": Operation("config:read", flags.explain, changes=False),
    "flags set": Operation("config:write", flags.change),
    "config reload": Operation("config:write", config_files.reload),
    "certs status": Operation("certs:read", certs_status, changes=False),
    "certs client": Operation("access:write", client_certificate),
    "certs init": Operation("certs:write", init_certs),
    "certs renew": Operation("certs:write", renew_certs),
}
# What works on the caller's own files and keys: only in the caller's process.
OPERATIONS: Final[Mapping[str, Operation]] = {
    **SHARED,
    "keys generate": Operation("keys:write", generate_key),
    "config encrypt": Operation("keys:write", config_files.encrypt),
    "config decrypt": Operation("secrets:read", config_files.decrypt),
    "config rotate": Operation("keys:write", config_files.rotate),
}
