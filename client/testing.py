"""An exchange of your own for a test: real processes, own ports and directory, killable.

    with Mesh(tmp_path) as mesh:
        client = Client.connect("DEMO1", config=mesh.config)

The harness takes health's place on its socket, or asks it over HTTP when "health" is among the
services. What is killed stays dead until `start`. `mesh={"matcher_shards": 2}` gives several; the
second is called matcher1, as by supervisord.
"""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import zmq
from rtes.common.config import Config, load
from rtes.common.healthpage import page
from rtes.common.paths import Paths
from rtes.common.records import decode
from rtes.control.setup import setup
from rtes.control.shards import instance_of, program_name
from rtes.control.start import is_free

SERVICES = ("matcher", "archive", "risk", "gateway")
HEALTH = "health"
READY_S = 60.0
END_S = 30.0
FIRST_OFFSET = 1_000  # an exchange of default ports may be started beside
OFFSETS_APART = 20  # a mesh of several gateways and shards has the ports after

_claimed: dict[int, ExitStack] = {}  # by offset


def free_offset(ports: Iterable[int] = (8888, 9999, 10_000, 8080)) -> int:
    """A port_offset at which all of these ports are free; by default those of the exchange.

    They are claimed until `release_offset` or the end of this process: who asks at the same time,
    here or in another process (pytest -n), gets others.
    """
    ports = list(ports)
    # below the ports that the kernel gives to outgoing connections: one of those could take ours
    # before it is bound
    below = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    count = (below - max(ports) - FIRST_OFFSET) // OFFSETS_APART
    for i in range(count):
        offset = FIRST_OFFSET + (os.getpid() + i) % count * OFFSETS_APART
        with ExitStack() as claims:
            try:
                for port in ports:
                    claims.enter_context(_claim(port + offset))
            except OSError:
                continue
            _claimed[offset] = claims.pop_all()
            return offset
    raise RuntimeError("no free ports")


def free_port() -> int:
    """One that is free, and claimed as by `free_offset`."""
    return 10_000 + free_offset([10_000])


def release_offset(offset: int) -> None:
    """What `free_offset` gave may go to others."""
    _claimed.pop(offset).close()


def _claim(port: int) -> socket.socket:
    """Nobody else's until it is closed: a name that the kernel gives once. Raises OSError."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0rtes-port-{port}")
        if not is_free("127.0.0.1", port):
            raise OSError(errno.EADDRINUSE, "a program listens there", port)
    except OSError:
        claim.close()
        raise
    return claim


class Mesh:
    """Use as a context manager; `kill` and `start` act on one service."""

    def __init__(
        self, directory: Path, services: tuple[str, ...] = SERVICES, **sections: Any
    ) -> None:
        file = directory / "config.json"
        tree: dict[str, Any] = {
            "environment": "dev",
            "mesh": {"run_dir": str(directory / "run")},
            "exchange": {},
            "journal": {"durability": "never", "segment_mib": 8},
            "session": {"messages_per_s_max": 1_000_000},
            "risk": {"orders_per_s_max": 1_000_000, "open_orders_max": 100_000},
        }
        for section, fields in sections.items():
            tree.setdefault(section, {}).update(fields)
        file.write_text(json.dumps(tree))
        self._claimed = None
        if "port_offset" not in tree["exchange"]:
            self._claimed = free_offset(load(file, {}).ports.values())
            tree["exchange"]["port_offset"] = self._claimed
        file.write_text(json.dumps(tree))
        self.config_file = file
        self.config: Config = load(file, {})
        self.paths = Paths(self.config)
        instances = self.config.mesh.instances
        self.services = tuple(
            program_name(service, number)
            for service in services
            for number in range(instances.get(service, 1))
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.logs = directory
        setup(self.config)
        self._context = zmq.Context()
        self._health = self._context.socket(zmq.PULL)
        if HEALTH not in services:
            self._health.bind(self.paths.socket("health0"))
        self.vitals: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> "Mesh":
        try:
            for service in self.services:
                self.start(service)
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything; the directory stays. Raises TimeoutExpired when a service does not end
        as it is told; it is killed then."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            for process in self.processes.values():
                process.wait(END_S)
        finally:
            for process in self.processes.values():
                process.kill()
                process.wait()
            self._health.close(0)
            self._context.term()
            self.paths.clean()
            if self._claimed is not None:
                release_offset(self._claimed)
                self._claimed = None

    def start(self, service: str, program: Sequence[str] = (), **environ: str) -> None:
        """program: what Python runs instead of the service; environ: variables to add."""
        name, number = instance_of(service)
        program = program or ("-m", f"rtes.services.{name}")
        arguments = ("--config", str(self.config_file), "--shard", str(number))
        with (self.logs / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(  # noqa: S603 - our own services
                [sys.executable, *program, *arguments],
                env={**os.environ, **environ}, stdout=log, stderr=log,
            )  # fmt: skip
        self.vitals.pop(service, None)

    def kill(self, service: str) -> None:
        """SIGKILL, as a crash would."""
        self.processes[service].kill()
        self.processes[service].wait()
        self.vitals.pop(service, None)

    def restart(self, service: str) -> None:
        self.kill(service)
        self.start(service)

    def log(self, service: str) -> str:
        return (self.logs / f"{service}.log").read_text()

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Until every started service says that it is ready."""
        deadline = time.monotonic() + timeout_s
        while not (self._page_says_ready() if HEALTH in self.services else self._all_ready()):
            self.hear(100)
            for service, process in self.processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{service} ended: {self.log(service)[-2_000:]}")
            if time.monotonic() > deadline:
                states = {s: self.vitals.get(s, {}).get("checks") for s in self.processes}
                raise RuntimeError(f"not ready after {timeout_s} s: {states}")

    def hear(self, timeout_ms: int) -> None:
        """Take what services say of themselves."""
        while self._health.poll(timeout_ms):
            vitals = decode(self._health.recv())
            name = program_name(vitals["service"], vitals["shard"])
            process = self.processes.get(name)
            if process is not None and process.pid == vitals["pid"]:
                self.vitals[name] = vitals
            timeout_ms = 0

    def _all_ready(self) -> bool:
        return all(self.ready(s) for s in self.processes)

    def _page_says_ready(self) -> bool:
        try:
            return all(self.get(path)[0] == 200 for path in ("/startup", "/ready"))
        except OSError:
            return False

    def get(self, path: str) -> tuple[int, bytes]:
        """(status, body) of a health page. Raises OSError when nobody answers."""
        return page(self.config, path)

    def ready(self, service: str) -> bool:
        return bool(self.vitals.get(service, {}).get("ready"))
