"""Acknowledged orders per second through gateway, risk, matcher and journal, as shipped.

    python -m benchmarks.mesh [--clients N] [--orders-per-frame N] [--durability never] [--json]

Starts a mesh of its own beside whatever runs, drives it with client processes over CURVE, and
prints the median of interleaved repetitions. Everything runs on this machine, clients included.
"""

import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rtes.client.testing import Mesh
from rtes.common.refdata import load_instruments

SERVICES = ("matcher", "archive", "risk", "gateway", "marketdata")


def one_run(mesh: Mesh, clients: int, per_frame: int, seconds: float, seed: int) -> float:
    """Answered requests per second, all clients together."""
    instruments = load_instruments(mesh.config.exchange.instruments).instruments
    symbols = [(i.symbol, i.reference_price) for i in instruments if i.min_price_increment == 1]
    processes = []
    for i in range(clients):
        spec = {
            "endpoint": mesh.config.exchange.orders_endpoint,
            "key": str(mesh.paths.key_file(f"DEMO{i + 1}")),
            "symbols": symbols,
            "seed": seed * 100 + i,
            "seconds": seconds,
            "per_frame": per_frame,
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.load", json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).resolve().parent.parent,
            )
        )
    for process in processes:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit("a load client could not log on")
    results = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        output, _ = process.communicate(timeout=seconds + 60)
        results.append(json.loads(output))
    return float(sum(r["answered"] / r["seconds"] for r in results))


def cpu_us(mesh: Mesh) -> dict[str, float]:
    """CPU time of each service so far, in microseconds."""
    ticks = {}
    for service, process in mesh.processes.items():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks[service] = (int(fields[11]) + int(fields[12])) * 1e4
    return ticks


def measure(
    cells: list[tuple[int, int]], durability: str, seconds: float, repetitions: int, quiet: bool
) -> list[dict[str, Any]]:
    """Median orders/s and CPU per order of every (clients, orders per frame)."""
    rates: dict[tuple[int, int], list[float]] = {cell: [] for cell in cells}
    cpu: dict[tuple[int, int], list[dict[str, float]]] = {cell: [] for cell in cells}
    with (
        tempfile.TemporaryDirectory() as directory,
        Mesh(Path(directory), SERVICES, journal={"durability": durability}) as mesh,
    ):
        plan = [(r, cell) for r in range(repetitions) for cell in cells]
        for r, cell in track(plan, "measuring", disable=quiet):
            before = cpu_us(mesh)
            rate = one_run(mesh, *cell, seconds, seed=r)
            after = cpu_us(mesh)
            orders = rate * (seconds + 0.5)  # the warm-up used CPU too
            rates[cell].append(rate)
            cpu[cell].append({s: (after[s] - before[s]) / orders for s in after})
    return [
        {
            "orders_per_s": round(statistics.median(rates[cell])),
            "orders_per_s_min": round(min(rates[cell])),
            "orders_per_s_max": round(max(rates[cell])),
            "clients": cell[0],
            "orders_per_frame": cell[1],
            "durability": durability,
            "cpu_us_per_order": {
                s: round(statistics.median(c[s] for c in cpu[cell]), 2) for s in cpu[cell][0]
            },
            "python": platform.python_version(),
        }
        for cell in cells
    ]


@click.command(help=__doc__)
@click.option("--clients", type=int, multiple=True, default=(1, 4), show_default=True)
@click.option("--orders-per-frame", type=int, multiple=True, default=(1, 16), show_default=True)
@click.option("--durability", type=click.Choice(["never", "interval", "always"]), default="never")
@click.option("--seconds", type=float, default=3.0, show_default=True, help="of one repetition")
@click.option("--repetitions", type=int, default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON array, nothing else")
def main(
    clients: tuple[int, ...],
    orders_per_frame: tuple[int, ...],
    durability: str,
    seconds: float,
    repetitions: int,
    as_json: bool,
) -> None:
    cells = [(c, f) for c in clients for f in orders_per_frame]
    rows = measure(cells, durability, seconds, repetitions, quiet=as_json)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("clients", "orders/frame", "acknowledged orders/s", "CPU us/order by process")
    for row in rows:
        cpu = "  ".join(f"{s} {us:.1f}" for s, us in row["cpu_us_per_order"].items())
        low, high = row["orders_per_s_min"], row["orders_per_s_max"]
        rate = f"{row['orders_per_s']:,} [{low:,} .. {high:,}]"
        table.add_row(str(row["clients"]), str(row["orders_per_frame"]), rate, cpu)
    Console().print(table)


if __name__ == "__main__":
    main()
