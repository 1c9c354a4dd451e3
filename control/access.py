"""Who may do what: identities, the roles they hold, and the permissions of each role.

An identity is what the kernel vouches for, never what somebody says of themselves: uid:1000,
from the process itself or the peer credentials of a unix socket. The owner of the run directory
holds every role at first. Nobody else holds any until it is granted.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rtes.common.errors import OperatorError
from rtes.common.secrets import read_private

READ: Final = ("config:read", "participants:read", "certs:read", "audit:read", "access:read")
PERMISSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "viewer": READ,
    "operator": (*READ, "config:write", "participants:write", "certs:write"),
    "key-admin": (*READ, "keys:write", "secrets:read", "certs:write", "access:write"),
    "emergency": ("emergency:stop", "emergency:resume"),
}


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

    def granted(self, identity: str, role: str) -> "Access":
        """With that grant. Raises AccessError."""
        check_role(role)
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
    if kind != "uid" or not name.isdecimal():
        raise AccessError(f"{identity!r} is no identity; write uid:1000")


def roles_with(permission: str) -> list[str]:
    """The roles that hold a permission."""
    return [role for role, held in PERMISSIONS.items() if permission in held]
