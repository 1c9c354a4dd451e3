"""What all benchmarks share: the environment they ran in, medians, tables and progress.

Alternatives are measured in interleaved rounds, so that a machine that gets slower or busier
meanwhile does so for all of them.
"""

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rtes.common import compiled

K = TypeVar("K")


def environment() -> dict[str, Any]:
    """Where a figure was measured."""
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 2),
        "compiled": bool(compiled.compiled()),
    }


def interleaved(
    cells: Sequence[K], repetitions: int, measure: Callable[[K, int], Any], quiet: bool
) -> dict[K, list[Any]]:
    """measure(cell, round) for all cells, round by round; results by cell."""
    found: dict[K, list[Any]] = {cell: [] for cell in cells}
    plan = [(r, cell) for r in range(repetitions) for cell in cells]
    for r, cell in track(plan, "measuring", disable=quiet, console=Console(stderr=True)):
        found[cell].append(measure(cell, r))
    return found


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
    for table in tables:
        console.print(table)
    where = result["environment"]
    console.print("; ".join(f"{name} {value}" for name, value in where.items()), style="dim")
