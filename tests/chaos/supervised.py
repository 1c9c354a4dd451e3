"""The whole exchange under a real supervisord with the real supervisord.conf, in a directory of its
own: only the configuration is the test's, named by RTES_ENVIRONMENT.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from rtes.client.testing import HEALTH, Mesh
from rtes.control.supervisor import Program, Supervisor

ROOT = Path(__file__).resolve().parents[2]
STARTED_S = 60.0


class Supervised(Mesh):
    """Use as a context manager; `kill_supervisor` and `start_supervisor` act on supervisord."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, (HEALTH,), journal={"durability": "always"})
        self.home = home
        (home / "var" / "log").mkdir(parents=True)
        (home / ".venv").symlink_to(sys.prefix)
        shutil.copy(ROOT / "supervisord.conf", home)
        self.supervisor = Supervisor()
        self.supervisor.socket = home / "var" / "supervisord.sock"

    def __enter__(self) -> "Supervised":
        try:
            self.start_supervisor()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        self.processes[HEALTH].terminate()
        self.processes[HEALTH].wait(60)
        super().close()

    def start_supervisor(self) -> None:
        """Until all is ready."""
        with (self.home / f"{HEALTH}.log").open("ab") as log:
            self.processes[HEALTH] = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", "supervisord.conf"],
                cwd=self.home, stdout=log, stderr=log,
                env={**os.environ, "RTES_ENVIRONMENT": str(self.config_file)},
            )  # fmt: skip
        self.wait_ready(STARTED_S)

    def program(self, name: str) -> Program:
        """What supervisord says of one program."""
        return next(p for p in self.supervisor.programs() if p.name == name)

    def signal(self, name: str, number: signal.Signals) -> int:
        """To a program; returns its pid."""
        pid = self.program(name).pid
        os.kill(pid, number)
        return pid

    def remains(self) -> list[psutil.Process]:
        """Processes of this exchange that live."""
        found = []
        for process in psutil.process_iter(["environ", "status"]):
            environ = process.info["environ"] or {}
            own = environ.get("RTES_ENVIRONMENT") == str(self.config_file)
            if own and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found


def wait_until(what: str, done: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
