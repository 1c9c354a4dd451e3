"""A copy of this checkout, started and stopped by its scripts as a newcomer does."""

import http.client
import os
import shutil
import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from rtes.client.testing import free_offset
from rtes.control.start import is_free

ROOT = Path(__file__).resolve().parents[1]
PORTS = {"orders": 8888, "market data": 9999, "market data snapshots": 10000, "http": 8080}


@dataclass
class Checkout:
    """A copy of this checkout with ports of its own."""

    home: Path
    offset: int

    @property
    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RTES")}
        return {**kept, "RTES__EXCHANGE__PORT_OFFSET": str(self.offset)}

    def run(self, script: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.home / "scripts" / script, *arguments],
            cwd="/", env={**self.environ, **environ}, capture_output=True, text=True,
            timeout=500, check=False,
        )  # fmt: skip

    def get(self, path: str, profile: str = "dev") -> tuple[int, str]:
        port = 8080 + self.offset
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        if profile != "dev":
            ca = self.home / "var" / profile / "certs" / "ca.crt"
            tls = ssl.create_default_context(cafile=ca)
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=tls)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = " ".join(process.info["cmdline"] or [])
            if f"{self.home}/" in words and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def nothing_is_left(self) -> None:
        assert self.processes() == []
        assert [p for p in self.home.rglob("*") if p.is_socket()] == []
        assert all(is_free("127.0.0.1", port + self.offset) for port in PORTS.values())


def copy_of_the_checkout(home: Path) -> Checkout:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    for name in listed.split("\0"):
        if name and os.path.lexists(ROOT / name):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, home / name, follow_symlinks=False)
    return Checkout(home, free_offset(PORTS.values()))


def wait_until(what: str, condition: object, seconds: float = 20) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not after {seconds} s: {what}"
        time.sleep(0.05)
