"""Who may do what: identities, the roles they hold, and the permissions of each role.

An identity is never what somebody says of themselves: uid:1000 is from the kernel (the process
itself, or the peer credentials of a unix socket), key:NAME:FINGERPRINT from the CURVE key of a
connection, cert:NAME:FINGERPRINT from the client's certificate of a TLS connection. The owner of
the run directory holds every role at first. Nobody else holds any until it is granted.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rtes.common.errors import OperatorError
from rtes.common.secrets import read_private

HEALTH_READ: Final = "health:read"  # the details of the health pages
READ: Final = (
    HEALTH_READ, "config:read", "participants:read", "certs:read", "audit:read", "access:read",
)  # fmt: skip
PERMISSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "viewer": READ,
    "operator": (*READ, "config:write", "participants:write", "certs:write"),
    "key-admin": (*READ, "keys:write", "secrets:read", "certs:write", "access:write"),
    "emergency": ("emergency:stop", "emergency:resume"),
}


_KEY_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")


class AccessError(OperatorError):
    """The identity lacks a permission, or a grant makes no sense."""


class Access:
    """identity -> roles, as a file."""

    def __init__(self, roles_of: Mapping[str, list[str]]) -> None:
        self.roles_of = {identity: list(roles) for identity, roles in roles_of.items()}

    @classmethod
    def load(cls, path: Path, owner_uid: int) -> "Access":
        """Without a file the owner holds every role. Raises AccessError, SecretError."""
        if not path.exists():
            return cls({f"uid:{owner_uid}": list(PERMISSIONS)})
        try:
            grants: dict[str, Any] = json.loads(read_private(path))["grants"]
            access = cls(grants)
            for roles in access.roles_of.values():
                for role in roles:
                    check_role(role)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AccessError(f"{path} is not an access file: {error}") from None
        return access

    def to_json(self) -> str:
        return json.dumps({"grants": self.roles_of}, indent=2) + "\n"

    def may(self, identity: str, permission: str) -> bool:
        roles = self.roles_of.get(identity, ())
        return any(permission in PERMISSIONS[role] for role in roles)

    def of_key(self, public_key: str) -> str | None:
        """The identity that a CURVE public key (Z85) speaks for."""
        end = f":{fingerprint(public_key)}"
        return next((i for i in self.roles_of if i[:4] == "key:" and i.endswith(end)), None)

    def of_certificate(self, der: bytes) -> str | None:
        """The identity that a client's certificate speaks for."""
        end = f":{certificate_fingerprint(der)}"
        return next((i for i in self.roles_of if i[:5] == "cert:" and i.endswith(end)), None)

    def with_key(self, name: str, public_key: str) -> "Access":
        """With a key of that name, which takes over the roles of the one before it."""
        return self._with("key", name, fingerprint(public_key))

    def with_certificate(self, name: str, der: bytes) -> "Access":
        """With a certificate of that name, which takes over the roles of the one before it."""
        return self._with("cert", name, certificate_fingerprint(der))

    def _with(self, kind: str, name: str, told: str) -> "Access":
        check_name(name)
        before = self.identity(f"{kind}:{name}")
        rest = {who: roles for who, roles in self.roles_of.items() if who != before}
        held = self.roles_of.get(before, [])
        return Access({**rest, f"{kind}:{name}:{told}": held})

    def identity(self, given: str) -> str:
        """In full: key:NAME and cert:NAME are completed with the fingerprint they have."""
        named = (i for i in self.roles_of if i.startswith(("key:", "cert:")))
        full = (i for i in named if i.rpartition(":")[0] == given)
        return next(full, given)

    def granted(self, identity: str, role: str) -> "Access":
        """With that grant. Raises AccessError."""
        check_role(role)
        if identity not in self.roles_of:
            check_identity(identity)
        roles = list(dict.fromkeys([*self.roles_of.get(identity, []), role]))
        return Access({**self.roles_of, identity: roles})

    def revoked(self, identity: str, role: str) -> "Access":
        """Without that grant. Raises AccessError."""
        check_role(role)
        if role not in self.roles_of.get(identity, []):
            raise AccessError(f"{identity} does not hold the role {role}")
        kept = [r for r in self.roles_of[identity] if r != role]
        rest = {**self.roles_of, identity: kept}
        left = Access({who: roles for who, roles in rest.items() if roles})
        if not any("key-admin" in roles for roles in left.roles_of.values()):
            raise AccessError(
                f"{identity} is the last to hold key-admin: nobody could grant anything any more; "
                "grant it to another first"
            )
        return left


def check_role(role: str) -> None:
    """Raises AccessError."""
    if role not in PERMISSIONS:
        raise AccessError(f"there is no role {role!r}; roles are {', '.join(PERMISSIONS)}")


def check_identity(identity: str) -> None:
    """Raises AccessError."""
    kind, _, name = identity.partition(":")
    if kind == "key":
        raise AccessError(f"there is no {identity}; rtes access key NAME makes a key")
    if kind == "cert":
        raise AccessError(f"there is no {identity}; rtes certs client NAME makes a certificate")
    if kind != "uid" or not name.isdecimal():
        raise AccessError(f"{identity!r} is no identity; write uid:1000, key:NAME or cert:NAME")


def check_name(name: str) -> None:
    """Of a key or certificate. Raises AccessError."""
    if not _KEY_NAME.fullmatch(name):
        raise AccessError(f"{name!r} cannot name a key; use letters, digits, . _ and -")


def fingerprint(public_key: str) -> str:
    """Of a CURVE public key (Z85): 32 hex characters."""
    return hashlib.sha256(public_key.encode()).hexdigest()[:32]


def certificate_fingerprint(der: bytes) -> str:
    """The first 32 hex characters of its SHA-256, as openssl prints it."""
    return hashlib.sha256(der).hexdigest()[:32]


def lacking(identity: str, permission: str, what: str) -> str:
    """The refusal."""
    return (
        f"{identity} may not {what}: it lacks the permission {permission}, which the role "
        f"{' or '.join(roles_with(permission))} holds (rtes access grant)"
    )


def roles_with(permission: str) -> list[str]:
    """The roles that hold a permission."""
    return [role for role, held in PERMISSIONS.items() if permission in held]
