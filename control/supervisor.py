"""The supervisord of this checkout: asked and told over its unix socket.

There is at most one per checkout; its socket says whether the exchange runs.
"""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
import xmlrpc.client
from pathlib import Path
from typing import Any, Final, NamedTuple

from rtes.common.config import checkout
from rtes.common.paths import SOCKET_PATH_BYTES_MAX
from supervisor.xmlrpc import SupervisorTransport

STANDALONE: Final = "rtes"  # supervisord.conf's identifier: started without start.sh
_POLL_S: Final = 0.05


class SupervisorError(RuntimeError):
    """supervisord cannot be started or reached; the message says what to do."""


class Program(NamedTuple):
    """One program's state, as supervisord sees it."""

    name: str
    state: str  # RUNNING, STARTING, BACKOFF, FATAL, EXITED, STOPPED
    pid: int
    exit_status: int
    log: Path


class Supervisor:
    """Starts, asks and stops it."""

    def __init__(self) -> None:
        self._home = checkout()
        self.socket = self._home / "var" / "supervisord.sock"
        self.pid_file = self._home / "var" / "supervisord.pid"
        self.output = self._home / "var" / "log" / "supervisord.out"

    def _ask(self, method: str, *arguments: Any) -> Any:
        """A connection of its own for each call: one that once failed would fail for ever."""
        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        with xmlrpc.client.ServerProxy("http://localhost", transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def pid(self) -> int | None:
        """Its process id, or None when it does not run."""
        try:
            return int(self._ask("getPID"))
        except (OSError, http.client.HTTPException):
            return None

    def environ(self) -> dict[str, str]:
        """What it was started with; our own environment when it does not run."""
        pid = self.pid()
        if pid is None:
            return dict(os.environ)
        variables = os.fsdecode(Path(f"/proc/{pid}/environ").read_bytes()).split("\0")
        return dict(v.split("=", 1) for v in variables if "=" in v)

    def profile(self) -> str:
        """The profile it was started with, or STANDALONE."""
        return str(self._ask("getIdentification"))

    def programs(self) -> list[Program]:
        return [
            Program(p["name"], p["statename"], p["pid"], p["exitstatus"], Path(p["logfile"]))
            for p in self._ask("getAllProcessInfo")
        ]

    def start(self, profile: str, conf: Path) -> subprocess.Popen[bytes]:
        """Start it in a session of its own; conf is what it reads. Raises SupervisorError."""
        length = len(os.fsencode(self.socket))
        if length > SOCKET_PATH_BYTES_MAX:
            raise SupervisorError(
                f"{self.socket} is {length} bytes long; a unix socket's path can be "
                f"{SOCKET_PATH_BYTES_MAX}. Move the checkout to a shorter path."
            )
        arguments = [sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)]
        with self.output.open("wb") as output:
            return subprocess.Popen(  # noqa: S603 - our own command line
                [*arguments, "-i", profile, "--nodaemon", "--silent"],
                env={**os.environ, "RTES_ENVIRONMENT": profile},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def start_program(self, name: str) -> Program:
        """Start it, wait for its startsecs, and return its state."""
        with contextlib.suppress(xmlrpc.client.Fault):  # the state says what went wrong
            self._ask("startProcess", name, True)
        return next(p for p in self.programs() if p.name == name)

    def shutdown(self, timeout_s: float) -> bool:
        """Stop all programs, then itself; what still runs then is killed. True: it was running,
        and nothing of it is left."""
        pid = self.pid()
        if pid is None:
            return False
        pids = [pid, *(p.pid for p in self.programs() if p.pid)]
        self._ask("shutdown")
        deadline = time.monotonic() + timeout_s
        while any(_alive(p) for p in pids):
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)  # its programs die with it
            time.sleep(_POLL_S)
        return True

    def clean(self) -> None:
        """Remove what a killed supervisord leaves; call when it does not run."""
        for path in (self.socket, self.pid_file):
            path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
