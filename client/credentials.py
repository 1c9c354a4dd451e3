"""A participant's credentials: the CURVE key pair of an account and the exchange's public key.

`rtes setup` writes one file per account, mode 0600. A file that others can read is refused.
"""

import json
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rtes.client.errors import RtesError
from rtes.common.paths import Paths

_KEY: Final = re.compile(r"[0-9a-zA-Z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")
_NOT_ACCOUNTS: Final = ("gateway", "audit")


@dataclass(frozen=True)
class Credentials:
    """Keys are Z85 text of 40 characters."""

    account: str
    public_key: str
    secret_key: str
    server_key: str

    def __post_init__(self) -> None:
        """Raises RtesError when a key is not one."""
        for name in ("public_key", "secret_key", "server_key"):
            if not _KEY.fullmatch(getattr(self, name)):
                raise RtesError(f"{self.account}: {name} is not a CURVE key of 40 characters")

    @classmethod
    def load(cls, path: Path) -> "Credentials":
        """Read a key file. Raises RtesError that says what to do."""
        try:
            mode = path.stat().st_mode
            fields = json.loads(path.read_text())
            credentials = cls(**{name: fields[name] for name in cls.__dataclass_fields__})
        except FileNotFoundError:
            raise RtesError(_unknown(path)) from None
        except (OSError, ValueError, KeyError) as error:
            raise RtesError(f"{path} is not a key file: {error!r}") from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise RtesError(f"{path} can be read by others; run: chmod 600 {path}")
        return credentials

    @classmethod
    def of(cls, account: str, paths: Paths) -> "Credentials":
        """The key file of an account of the mesh at paths."""
        return cls.load(paths.key_file(account))


def _unknown(path: Path) -> str:
    known = sorted(p.stem for p in path.parent.glob("*.json") if p.stem not in _NOT_ACCOUNTS)
    if not known:
        return f"no keys in {path.parent}; start the exchange first: scripts/start.sh"
    names = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
    return f"no key for account {path.stem}; there are {names}"
