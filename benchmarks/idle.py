"""What the whole exchange costs while nobody trades: CPU and memory of every process.

    python -m benchmarks.idle [--seconds 60] [--json]

Starts the real supervisord with the shipped supervisord.conf in a directory of its own, waits
until all is ready, and reads /proc. RSS counts what processes share in each of them; PSS counts it
once, so only the sum of PSS is what the exchange takes from the machine.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import click
from rich.table import Table
from rtes.benchmarks.harness import environment, show, tracked
from rtes.client.testing import HEALTH, Mesh

ROOT: Final = Path(__file__).resolve().parents[1]
READY_S: Final = 120.0
SETTLE_S: Final = 3.0
GOAL_CPU_PERCENT: Final = 3.0
GOAL_MEMORY_MB: Final = 300.0
SUPERVISORD: Final = "supervisord"
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PROGRAM: Final = re.compile(r"rtes\.(?:services|control)\.([a-z_]+)")


class Exchange:
    """An exchange under supervisord. Use as a context manager."""

    def __init__(self, home: Path) -> None:
        (home / "var" / "log").mkdir(parents=True)
        (home / ".venv").symlink_to(sys.prefix)
        shutil.copy(ROOT / "supervisord.conf", home)
        self._mesh = Mesh(home, (HEALTH,), journal={"durability": "always"})
        self._home = home

    def __enter__(self) -> "Exchange":
        with (self._home / "supervisord.log").open("wb") as log:
            self._supervisord = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", "supervisord.conf"],
                cwd=self._home, stdout=log, stderr=log,
                env={**os.environ, "RTES_ENVIRONMENT": str(self._mesh.config_file)},
            )  # fmt: skip
        try:
            self._mesh.wait_ready(READY_S)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._supervisord.terminate()
        self._supervisord.wait(60)
        self._mesh.close()

    def processes(self) -> dict[str, int]:
        """Pids by program, supervisord's own too."""
        pid = self._supervisord.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {SUPERVISORD: pid} | {program_of(int(child)): int(child) for child in children}


def program_of(pid: int) -> str:
    """Which program of supervisord.conf a process is."""
    line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    found = _PROGRAM.search(line)
    name = found[1] if found else line.split()[0]
    return "control" if name == "server" else name


def cpu_s(pid: int) -> float:
    """utime + stime so far, in seconds; all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def memory_mb(pid: int) -> dict[str, float]:
    """Resident, proportional and anonymous (no file's) memory, in MB (10**6 bytes)."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {name: int(rest.split()[0]) for name, _, rest in (row.partition(":") for row in rows)}
    names = {"rss_mb": "Rss", "pss_mb": "Pss", "anonymous_mb": "Anonymous"}
    return {name: kib[field] * 1.024e-3 for name, field in names.items()}


def measure(exchange: Exchange, seconds: float) -> list[dict[str, Any]]:
    """One row a process. Raises when one of them was restarted meanwhile."""
    time.sleep(SETTLE_S)
    processes = exchange.processes()
    memory = {name: memory_mb(pid) for name, pid in processes.items()}
    before, began = {name: cpu_s(pid) for name, pid in processes.items()}, time.monotonic()
    for _ in tracked(range(10), "idle"):
        time.sleep(seconds / 10)
    passed = time.monotonic() - began
    changed = dict(processes.items() ^ exchange.processes().items())
    if changed:
        raise click.ClickException(f"ended or started while measured: {', '.join(sorted(changed))}")
    return [
        {"process": name, "cpu_percent": round((cpu_s(pid) - before[name]) / passed * 100, 2)}
        | {key: round(mb, 1) for key, mb in memory[name].items()}
        for name, pid in processes.items()
    ]


@click.command(help=__doc__)
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(seconds: float, as_json: bool) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else supervisord would stay
    where = environment()
    with tempfile.TemporaryDirectory() as home, Exchange(Path(home)) as exchange:
        rows = measure(exchange, seconds)
    keys = ("cpu_percent", "rss_mb", "pss_mb")
    total = {key: round(sum(row[key] for row in rows), 1) for key in keys}
    table = Table("process", "CPU, %", "RSS, MB", "PSS, MB")
    for row in [*rows, {"process": "all", **total}]:
        table.add_row(row["process"], *(f"{row[key]:.1f}" for key in keys))
    goals = {"goal_cpu_percent": GOAL_CPU_PERCENT, "goal_memory_mb": GOAL_MEMORY_MB}
    show(total | goals | {"processes": rows, "environment": where}, as_json, table)


if __name__ == "__main__":
    main()
