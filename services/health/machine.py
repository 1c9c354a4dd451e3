"""Checks of what all services stand on: sockets, disk, memory, clock, cores, certificate.

Each function looks at the machine once and says what it saw; nothing here is on the path of an
order. Limits that are not facts of the kernel are named at the top.
"""

import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rtes.common.checks import Check, HealthStatus, Result, healthy_if
from rtes.common.config import Config, ServiceCores
from rtes.common.config_mesh import listener
from rtes.common.paths import Paths
from rtes.common.tls import DAY_S, certificate_days_left
from rtes.common.topology import layout_here
from rtes.services.health.core import Key, Snapshot

CERTIFICATE_DAYS_MIN: Final = 14
MEMORY_DEGRADED: Final = 0.85
MEMORY_UNHEALTHY: Final = 0.95  # where the emergency begins
DISK_DEGRADED: Final = 0.10
DISK_SEGMENTS_MIN: Final = 2  # free space for fewer of them: the journal is about to stop
CLOCK_STEP_S_MAX: Final = 0.25
CONNECT_S_MAX: Final = 1.0
_ZMTP_SIGNATURE: Final = 0xFF  # first byte of ZeroMQ's greeting
_WITHOUT: Final = {"orders": HealthStatus.UNHEALTHY, "market data": HealthStatus.DEGRADED}
_CGROUP: Final = Path("/sys/fs/cgroup")


def network_connectivity(config: Config) -> Result:
    """Orders and market data accept connections and speak ZeroMQ. Trading goes on without
    market data, so its absence only degrades."""
    for of, status in _WITHOUT.items():
        for what, port in config.ports.items():
            if what.rstrip(" 0123456789") != of:
                continue
            if fault := _greeting_fault(config.serving(*listener(what)).host, port):
                return Result(status, f"{what} at port {port}: {fault}")
    return Result(HealthStatus.HEALTHY, "orders and market data answer")


def _greeting_fault(host: str, port: int) -> str:
    """Why nobody speaks ZeroMQ there; empty when somebody does."""
    try:
        with socket.create_connection((host, port), CONNECT_S_MAX) as peer:
            greeting = peer.recv(1)
    except OSError as error:
        return str(error)
    return "" if greeting and greeting[0] == _ZMTP_SIGNATURE else "not ZeroMQ"


def disk_free(config: Config) -> tuple[int, int]:
    """(free bytes, size in bytes) of the disk that holds the journal."""
    journal = Paths(config).journal_dir(0)
    usage = shutil.disk_usage(journal if journal.exists() else Paths(config).run_dir)
    return usage.free, usage.total


def disk_space(config: Config) -> Result:
    """Room for the journal."""
    free, total = disk_free(config)
    detail = f"{free / 2**30:.1f} GiB free, {free / total:.0%}"
    if free < DISK_SEGMENTS_MIN * config.journal.segment_mib << 20:
        return Result(HealthStatus.UNHEALTHY, detail)
    low = free / total < DISK_DEGRADED
    return Result(HealthStatus.DEGRADED if low else HealthStatus.HEALTHY, detail)


def memory_ratio() -> float:
    """Memory in use, of the control group's limit, or where there is none of the host's."""
    limit, used = _read(_CGROUP / "memory.max"), _read(_CGROUP / "memory.current")
    if limit.isdigit() and used.isdigit():
        reclaimable = _field(_CGROUP / "memory.stat", "inactive_file")
        return max(0, int(used) - reclaimable) / int(limit)
    total = _field(Path("/proc/meminfo"), "MemTotal:")
    return 1 - _field(Path("/proc/meminfo"), "MemAvailable:") / total


def memory() -> Result:
    """Room for the processes."""
    ratio = memory_ratio()
    if ratio > MEMORY_UNHEALTHY:
        status = HealthStatus.UNHEALTHY
    else:
        status = HealthStatus.DEGRADED if ratio > MEMORY_DEGRADED else HealthStatus.HEALTHY
    return Result(status, f"{ratio:.0%} in use")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _field(path: Path, name: str) -> int:
    for line in _read(path).splitlines():
        words = line.split()
        if words[0] == name:
            return int(words[1])
    return 0


class ClockCheck:
    """Sees when the wall clock was set: it then moved otherwise than the monotonic one."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._offset_s = wall() - monotonic()

    def __call__(self) -> Result:
        offset_s = self._wall() - self._monotonic()
        step_s, self._offset_s = offset_s - self._offset_s, offset_s
        if abs(step_s) > CLOCK_STEP_S_MAX:
            return Result(HealthStatus.DEGRADED, f"the wall clock was set by {step_s:+.2f} s")
        return Result(HealthStatus.HEALTHY, "steady")


def audit_log(path: Path) -> Result:
    """A record could be written: without one no change by an operator takes effect."""
    if not path.exists():
        writable = os.access(path.parent, os.W_OK)
        return healthy_if(writable, "empty" if writable else f"{path.parent} is not writable")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
    except OSError as error:
        return healthy_if(False, f"{path.name}: {error.strerror}")
    return healthy_if(True, "takes records")


def certificate(config: Config) -> Result:
    """The HTTP pages' certificate has not run out and will not soon."""
    days = certificate_days_left(config, time.time())
    if days is None:
        return Result(HealthStatus.HEALTHY, "TLS is off")
    if days <= 0:
        return Result(HealthStatus.UNHEALTHY, f"expired {-days:.0f} days ago")
    soon = days < CERTIFICATE_DAYS_MIN
    return Result(
        HealthStatus.DEGRADED if soon else HealthStatus.HEALTHY, f"{days:.0f} days left"
    )


def certificate_gauges(config: Config) -> dict[str, float]:
    """When the certificate expires, in seconds since the epoch; nothing when TLS is off."""
    now_s = time.time()
    days = certificate_days_left(config, now_s)
    name = "rtes_tls_cert_not_after_timestamp_seconds"
    return {} if days is None else {name: now_s + days * DAY_S}


def pinning(config: Config, layout: ServiceCores, heard: Mapping[Key, Snapshot]) -> Result:
    """Services of this host run on the cores of the layout."""
    wrong = []
    placement = config.mesh.placement
    for (service, shard), snapshot in heard.items():
        if placement.host(service, shard) != placement.host("health"):
            continue  # there that pid is another's
        cores = getattr(layout, service, [])
        try:
            actual = sorted(os.sched_getaffinity(snapshot.pid)) if cores else []
        except OSError:
            continue  # just ended
        if actual != sorted(cores):
            wrong.append(f"{service} {shard} on {actual}, not {sorted(cores)}")
    return healthy_if(not wrong, "; ".join(wrong) or "as configured")


def machine_checks(config: Config, heard: Callable[[], Mapping[Key, Snapshot]]) -> list[Check]:
    """What health registers for itself. heard() are the services' last snapshots."""
    layout = layout_here(config)  # it stays while health runs
    return [
        Check(
            "network_connectivity", lambda: network_connectivity(config), interval_s=2.0,
            timeout_s=3.0, critical=True, groups=("network",), startup_grace_s=30.0, fail_after=2,
        ),
        Check("disk_space", lambda: disk_space(config), interval_s=5.0, groups=("machine",)),
        Check("memory", memory, interval_s=1.0, groups=("machine",), fail_after=3),
        Check("clock", ClockCheck(), interval_s=1.0, groups=("machine",), recover_after=60),
        Check("audit_log", lambda: audit_log(Paths(config).audit_file), groups=("data",)),
        Check(
            "pinning", lambda: pinning(config, layout, heard()), interval_s=5.0,
            groups=("machine",),
        ),
        Check(
            "certificate", lambda: certificate(config), interval_s=5.0, groups=("network",)
        ),
    ]  # fmt: skip
