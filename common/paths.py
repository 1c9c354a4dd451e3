"""Where run-time state lies: var/ of the checkout for what supervisord keeps, and in it, for
each profile, the configuration's run_dir for what the exchange keeps.

Sockets between the services are files too. Where their path would be longer than the kernel
takes, they lie in a directory of /tmp whose name is the hash of run_dir, so that two checkouts
never meet. Directories are created 0700: what is in them is for this user only.
"""

import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import Final

from rtes.common.config import Config, checkout

SOCKET_PATH_BYTES_MAX: Final = 100  # the kernel's limit is 107; ZeroMQ and supervisord add a few
_SOCKET_NAME_BYTES_MAX: Final = 24


class Paths:
    """The places of one mesh."""

    def __init__(self, config: Config) -> None:
        self.state_dir = checkout() / "var"
        self.log_dir = self.state_dir / "log"
        self.run_dir: Path = config.mesh.run_dir
        self.keys_dir = self.run_dir / "keys"
        self.beats_dir = self.run_dir / "beats"
        self.certs_dir = self.run_dir / "certs"
        self.mesh_file = self.run_dir / "mesh.json"
        self.accounts_file = self.run_dir / "accounts.json"
        self.config_file = self.run_dir / "config.json"
        self.flags_file = self.run_dir / "flags.json"
        self.throttle_file = self.run_dir / "throttled"
        self.access_file = self.run_dir / "access.json"
        self.audit_file = self.run_dir / "audit.jsonl"
        self.audit_head_file = self.keys_dir / "audit.head"
        self.socket_dir = self._socket_dir()
        # outside of run_dir, which others may not enter: the kernel says who connects
        self.control_dir = Path(f"/tmp/rtes-{self._digest()}-control")  # noqa: S108 - see server
        self.control_socket = self.control_dir / "socket"

    def journal_dir(self, shard: int) -> Path:
        return self.run_dir / "journal" / str(shard)

    def snapshots_dir(self, shard: int) -> Path:
        return self.run_dir / "snapshots" / str(shard)

    def poison_dir(self, shard: int) -> Path:
        return self.run_dir / "poison" / str(shard)

    def key_file(self, name: str) -> Path:
        return self.keys_dir / f"{name}.json"

    def socket(self, name: str) -> str:
        """The ipc endpoint of that name; its directory exists after prepare()."""
        if len(os.fsencode(name)) > _SOCKET_NAME_BYTES_MAX:
            raise ValueError(f"socket name {name!r} is longer than {_SOCKET_NAME_BYTES_MAX} bytes")
        return f"ipc://{self.socket_dir / name}"

    def prepare(self) -> None:
        """Create the directories. Raises PermissionError when one belongs to somebody else."""
        for directory in (
            self.run_dir,
            self.keys_dir,
            self.certs_dir,
            self.log_dir,
            self.socket_dir,
        ):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.socket_dir.lstat()
        if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
            raise PermissionError(f"{self.socket_dir} is not a directory of this user; remove it")

    def clean(self) -> None:
        """Remove the sockets; call when no service runs."""
        shutil.rmtree(self.socket_dir, ignore_errors=True)
        shutil.rmtree(self.control_dir, ignore_errors=True)

    def _socket_dir(self) -> Path:
        directory = self.run_dir / "sock"
        if len(os.fsencode(directory)) + 1 + _SOCKET_NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX:
            return directory
        return Path(f"/tmp/rtes-{self._digest()}")  # noqa: S108 - prepare() checks the owner

    def _digest(self) -> str:
        return hashlib.sha256(os.fsencode(self.run_dir)).hexdigest()[:16]
