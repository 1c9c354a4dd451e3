"""An exchange on several hosts, for tests: each has a run directory and a configuration of its own,
and its own address. Hosts are addresses of the loopback device, or network namespaces behind a
bridge (only root may make these), where nothing but the placed ports is shared.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from rtes.client import Client
from rtes.client.testing import free_offset
from rtes.common.config import Config, load
from rtes.common.healthpage import NoAnswerError, page
from rtes.common.paths import Paths
from rtes.control.hosts import export
from rtes.control.setup import setup
from rtes.control.shards import instance_of

from tests.chaos.network import ip
from tests.meshes import wait_for

LOOPBACK = {"A": "127.0.0.2", "B": "127.0.0.3", "C": "127.0.0.4"}
PLACED = {
    "gateway": "A", "marketdata": "A", "risk": "B", "health": "B",
    "matcher": "C", "archive": "C", "snapshotter": "C",
}  # fmt: skip


class Hosts:
    """Use as a context manager: everything is started, and stopped. addresses by name of host;
    namespaces: by name of host, where they are that."""

    def __init__(
        self,
        directory: Path,
        addresses: Mapping[str, str],
        namespaces: Mapping[str, str] | None = None,
        placed: Mapping[str, str] = PLACED,
        **sections: Any,
    ) -> None:
        self.placed = placed
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._directory = directory
        self._namespaces = namespaces or {}
        tree: dict[str, Any] = {
            "environment": "dev",
            "mesh": {"hosts": {service: addresses[host] for service, host in placed.items()}},
            "exchange": {"port_offset": free_offset()},
            "journal": {"durability": "never", "segment_mib": 8},
            "risk": {"orders_per_s_max": 1_000_000, "open_orders_max": 100_000},
        }
        for section, fields in sections.items():
            tree.setdefault(section, {}).update(fields)
        self.files: dict[str, Path] = {}
        for host in addresses:
            (directory / host).mkdir()
            tree["mesh"]["run_dir"] = str(directory / host / "run")
            self.files[host] = directory / host / "config.json"
            self.files[host].write_bytes(msgspec.json.encode(tree))
        self.configs: dict[str, Config] = {h: load(file, {}) for h, file in self.files.items()}
        home = placed["gateway"]
        setup(self.configs[home])
        for host in addresses.keys() - {home}:
            self._unpack(home, host, addresses[host])
        self.home = self.configs[home]

    def _unpack(self, home: str, host: str, address: str) -> None:
        file = self._directory / f"{host}.tar"
        export(self.configs[home], address, file)
        run_dir = Paths(self.configs[host]).run_dir
        run_dir.mkdir(mode=0o700)
        subprocess.run(["tar", "-xf", file, "-C", run_dir], check=True)  # as operators do

    def __enter__(self) -> "Hosts":
        try:
            for service in self.placed:
                self.start(service)
            wait_for(self.ready, 60)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(10)
        for config in self.configs.values():
            Paths(config).clean()

    def start(self, service: str) -> None:
        """As `python -m rtes.services.SERVICE --config FILE` on its host."""
        host = self.placed[service]
        name, number = instance_of(service)
        inside = self._namespaces.get(host)
        prefix = ["ip", "netns", "exec", inside] if inside else []
        words = [sys.executable, "-m", f"rtes.services.{name}", "--config", str(self.files[host])]
        with (self._directory / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                [*prefix, *words, "--shard", str(number)], stdout=log, stderr=log
            )

    def kill(self, service: str) -> None:
        self.processes[service].kill()
        self.processes[service].wait()

    def restart(self, service: str) -> None:
        self.kill(service)
        self.start(service)

    def log(self, service: str) -> str:
        return (self._directory / f"{service}.log").read_text()

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """(status, body) of a health page; (0, {}) when nobody answers."""
        try:
            status, body = page(self.home, path)
        except NoAnswerError:
            return 0, {}
        return status, msgspec.json.decode(body)

    def ready(self) -> bool:
        for service, process in self.processes.items():
            assert process.poll() is None, f"{service} ended: {self.log(service)[-2_000:]}"
        return all(self.get(path)[0] == 200 for path in ("/startup", "/ready"))

    def connect(self, account: str) -> Client:
        return Client.connect(account, config=self.home, timeout_s=20.0)


@contextmanager
def namespaces(names: str = "ABC") -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Hosts behind a bridge: (address by name, namespace by name). Raises OSError, CalledProcess-
    Error where that may not be."""
    number = os.getpid() % 250 + 1
    bridge, net = f"rtesbr{number}", f"10.214.{number}"
    with ExitStack() as undo:
        ip("link", "add", bridge, "type", "bridge")
        undo.callback(ip, "link", "del", bridge)
        ip("addr", "add", f"{net}.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        addresses, spaces = {}, {}
        for i, name in enumerate(names):
            space, near, far = f"rtes{number}{name}", f"rtes{number}{name}", f"rtesf{number}{name}"
            addresses[name], spaces[name] = f"{net}.{i + 2}", space
            ip("netns", "add", space)
            undo.callback(ip, "netns", "del", space)
            ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", space)
            ip("link", "set", near, "master", bridge, "up")
            ip("-n", space, "addr", "add", f"{addresses[name]}/24", "dev", far)
            ip("-n", space, "link", "set", far, "up")
            ip("-n", space, "link", "set", "lo", "up")
        yield addresses, spaces
