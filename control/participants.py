"""Participants: accounts with limits, and the CURVE keys that speak for them.

An id is never given twice, so a revoked account keeps its row: its positions and history stay
its own. Keys are made here, mode 0600; the secret half is in the participant's key file and
nowhere else. A key that is revoked or replaced stops counting as soon as the accounts file is
written: the gateway sees the change and ends its session.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError
from rtes.common.config import Config
from rtes.common.errors import OperatorError
from rtes.common.paths import Paths
from rtes.common.refdata import Account, Limits, load_accounts
from rtes.common.service import server_key_pair
from rtes.common.storage import replace
from rtes.control.desk import Desk, Plan
from rtes.control.files import locked
from rtes.control.setup import SERVER, new_key, write_accounts

_RESERVED: Final = (SERVER, "audit")


class ParticipantError(OperatorError):
    """The account cannot be made or changed."""


def listed(desk: Desk) -> Plan:
    """Every account: name, id, role, whether its key counts, and its limits."""

    def rows() -> list[dict[str, Any]]:
        return [_row(desk.config, a) for a in _accounts(desk.paths)]

    return Plan("accounts", rows)


def add(
    desk: Desk, name: str, role: str = "participant", limits: Mapping[str, Any] | None = None
) -> Plan:
    """A new account, or a revoked one that comes back with a new key and its old id."""
    known = _accounts(desk.paths)
    before = next((a for a in known if a.name == name), None)
    if name in _RESERVED:
        raise ParticipantError(f"{name} is not for a participant; choose another name")
    if before is not None and not before.revoked:
        raise ParticipantError(f"{name} exists; rtes participants rotate {name} makes a new key")
    number = before.id if before else max((a.id for a in known), default=0) + 1
    public, key = new_key(name, server_key_pair(desk.config)["public_key"])
    row: dict[str, Any] = {"id": number, "name": name, "role": role, "public_key": public}
    if limits:
        row["limits"] = {**desk.config.risk.model_dump(), **limits}
    elif before is not None and "limits" in before.model_fields_set:
        row["limits"] = before.limits.model_dump()
    account = _valid(row)
    return _change(desk, account, before, key)


def revoke(desk: Desk, name: str) -> Plan:
    """The account's key counts for nothing any more; its orders stay until they are canceled."""
    before = _known(desk.paths, name)
    if before.revoked:
        raise ParticipantError(f"{name} is revoked already")
    return _change(desk, before.model_copy(update={"public_key": "", "revoked": True}), before)


def rotate(desk: Desk, name: str) -> Plan:
    """A new key for an account; the old one stops counting at once."""
    before = _known(desk.paths, name)
    if before.revoked:
        raise ParticipantError(f"{name} is revoked; rtes participants add {name} brings it back")
    public, key = new_key(name, server_key_pair(desk.config)["public_key"])
    return _change(desk, before.model_copy(update={"public_key": public}), before, key)


def limits(desk: Desk, name: str, limits: Mapping[str, Any]) -> Plan:
    """Other limits for an account. From then on they are its own: all of them, not only those
    named, whatever the configuration says later."""
    before = _known(desk.paths, name)
    if not limits:
        raise ParticipantError(f"nothing to change; limits are {', '.join(Limits.model_fields)}")
    own = {**desk.config.limits_of(before).model_dump(), **limits}
    return _change(desk, _valid({**before.model_dump(mode="json"), "limits": own}), before)


def _change(
    desk: Desk, account: Account, before: Account | None, key: dict[str, str] | None = None
) -> Plan:
    paths = desk.paths

    def apply() -> dict[str, Any]:
        file = paths.key_file(account.name)
        with locked(paths.run_dir / "setup.lock"):
            rest = _accounts(paths)
            rows = [account if a.id == account.id else a for a in rest]
            write_accounts(desk.config, rows if account in rows else [*rest, account])
        if account.revoked:
            file.unlink(missing_ok=True)
        if key is None:
            return _row(desk.config, account)
        replace(file, json.dumps(key, indent=2) + "\n")
        return {**_row(desk.config, account), "key_file": str(file)}

    old = _row(desk.config, before) if before else None
    return Plan(f"account {account.name}", apply, old, _row(desk.config, account))


def _row(config: Config, account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "id": account.id,
        "role": account.role.value,
        "state": "revoked" if account.revoked else "active",
        "public_key": account.public_key,
        "limits": config.limits_of(account).model_dump(),
    }


def _accounts(paths: Paths) -> list[Account]:
    return load_accounts(paths.accounts_file).accounts if paths.accounts_file.exists() else []


def _known(paths: Paths, name: str) -> Account:
    known = {a.name: a for a in _accounts(paths)}
    if name not in known:
        raise ParticipantError(f"there is no account {name}; there are {', '.join(known)}")
    return known[name]


def _valid(row: Mapping[str, Any]) -> Account:
    try:
        return Account.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        hint = f"; limits are {', '.join(Limits.model_fields)}" if "limits" in where else ""
        raise ParticipantError(
            f"{row['name']}: {where} = {first['input']!r}: {first['msg']}{hint}"
        ) from None
