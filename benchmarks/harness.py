"""What all benchmarks share: the environment they ran in, medians, tables and progress.

Alternatives are measured in interleaved rounds, so that a machine that gets slower or busier
meanwhile does so for all of them.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import zmq
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rtes.common import compiled

WIDTH: Final = 120  # of tables in a file or a pipe
K = TypeVar("K")
P = TypeVar("P")


def environment() -> dict[str, Any]:
    """Where a figure was measured."""
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "rtes": version("rtes"),
        "commit": _commit(),
        "compiled": bool(compiled.compiled()),
        "python": platform.python_version(),
        "interpreter": os.path.realpath(sys.executable),
        "pyzmq": zmq.__version__,
        "libzmq": zmq.zmq_version(),
        "kernel": platform.release(),
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": memory >> 30,
        "load_average": round(os.getloadavg()[0], 2),
    }


def _commit() -> str:
    """Of the checkout that this runs in; "" when it is none."""
    asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def interleaved(
    cells: Sequence[K], repetitions: int, measure: Callable[[K, int], Any], what: str = "measuring"
) -> dict[K, list[Any]]:
    """measure(cell, round) for all cells, round by round; results by cell."""
    found: dict[K, list[Any]] = {cell: [] for cell in cells}
    for r, cell in tracked([(r, cell) for r in range(repetitions) for cell in cells], what):
        found[cell].append(measure(cell, r))
    return found


def tracked(plan: Sequence[P], what: str) -> Iterable[P]:
    """The same, with a progress bar on stderr where that is a terminal."""
    console = Console(stderr=True)
    return track(plan, what, console=console, disable=not console.is_terminal)


def median(values: Iterable[float], digits: int = 0) -> float:
    """Rounded; an int when digits is 0."""
    found = statistics.median(values)
    return round(found, digits) if digits else round(found)


def show(result: dict[str, Any], as_json: bool, *tables: Table) -> None:
    """The result as JSON and nothing else, or as tables with the environment below."""
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    for table in tables:
        table.box = SIMPLE_HEAD  # narrow: some have ten columns
        console.print(table)
    where = result["environment"]
    console.print("; ".join(f"{name} {value}" for name, value in where.items()), style="dim")
