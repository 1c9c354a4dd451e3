"""What the exchange does as shipped: acknowledged orders per second, latency, CPU per order.

    python -m benchmarks.mesh [--vs-null] [--unpinned] [--quick] [--durability MODE]... [--json]

Starts exchanges of its own (one per durability, all services) beside whatever runs, and drives
them through the gateway as participants do, over CURVE. --vs-null measures the null mesh in the
same rounds, on the same cores; --unpinned an exchange wherever the kernel puts it. Medians of
interleaved rounds; each run begins when all is idle, then the other meshes stand still.
"""

import contextlib
import tempfile
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table
from rtes.benchmarks.driver import Target, alone, cpu_us, drive, percentiles
from rtes.benchmarks.harness import environment, interleaved, median, show
from rtes.benchmarks.null_mesh import NullMesh
from rtes.client.testing import Mesh
from rtes.common.placement import MEMBERS
from rtes.common.refdata import load_instruments

SEGMENT_MIB: Final = 64  # as shipped; the fixture's own is smaller
NULL: Final = "null mesh"
UNPINNED: Final = "unpinned"
Cell = tuple[int, int]  # clients, orders per frame


def exchange(stack: contextlib.ExitStack, durability: str, pin: bool = True) -> Target:
    """All services, as shipped; without pin wherever the kernel puts them."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    journal = {"durability": durability, "segment_mib": SEGMENT_MIB}
    mesh = stack.enter_context(Mesh(directory, MEMBERS, journal=journal, mesh={"pin": pin}))
    instruments = load_instruments(mesh.config.exchange.instruments).instruments
    return Target(
        durability if pin else f"{durability}, {UNPINNED}",
        mesh.config.exchange.orders_endpoint,
        [str(mesh.paths.key_file(f"DEMO{i + 1}")) for i in range(8)],
        mesh.processes,
        [(i.symbol, i.reference_price) for i in instruments if i.min_price_increment == 1],
        mesh.config.exchange.market_data_endpoint,
    )


def null(stack: contextlib.ExitStack) -> Target:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    mesh = stack.enter_context(NullMesh(directory))
    return Target(NULL, mesh.endpoint, [str(mesh.key_file)] * 8, mesh.processes, [])


def throughput(target: Target, cell: Cell, seconds: float, seed: int) -> dict[str, Any]:
    """Answered requests per second, all clients together, and CPU us of each by process."""
    before = cpu_us(target)
    results = drive(target, *cell, seconds, seed)
    after = cpu_us(target)
    rate = sum(r["answered"] / r["seconds"] for r in results)
    orders = rate * (seconds + 0.5)  # the warm-up used CPU too
    return {"per_s": rate, "cpu": {name: (after[name] - before[name]) / orders for name in after}}


def measure_throughput(
    targets: list[Target], cells: list[Cell], seconds: float, repetitions: int, quiet: bool
) -> list[dict[str, Any]]:
    plan = [(target, cell) for cell in cells for target in targets]  # what is compared adjoins

    def run(at: tuple[Target, Cell], r: int) -> dict[str, Any]:
        with alone(at[0], targets):
            return throughput(*at, seconds, r)

    found = interleaved(plan, repetitions, run, quiet)
    rows = []
    for (target, cell), runs in found.items():
        rates = [run["per_s"] for run in runs]
        cpu = {n: median((r["cpu"][n] for r in runs), 2) for n in runs[0]["cpu"]}
        rows.append(
            {
                "target": target.name,
                "clients": cell[0],
                "orders_per_frame": cell[1],
                "orders_per_s": median(rates),
                "orders_per_s_min": round(min(rates)),
                "orders_per_s_max": round(max(rates)),
                "cpu_us_per_order": cpu,
            }
        )
    return rows


def measure_latency(
    plan: list[tuple[Target, str, Cell, float]], seconds: float, repetitions: int, quiet: bool
) -> list[dict[str, Any]]:
    """plan: target, what the rate is called, clients and orders per frame, orders/s."""

    targets = dict.fromkeys(target for target, *_ in plan)

    def run(at: tuple[Target, str, Cell, float], r: int) -> dict[str, Any]:
        target, _, cell, per_s = at
        with alone(target, targets):
            return percentiles(drive(target, *cell, seconds, r, per_s))

    rows = []
    for (target, name, cell, per_s), runs in interleaved(plan, repetitions, run, quiet).items():
        row = {"target": target.name, "load": name, "orders_per_s": round(per_s)}
        row |= {"clients": cell[0], "orders_per_frame": cell[1]}
        rows.append(row | {key: median(r[key] for r in runs) for key in runs[0]})
    return rows


def latency_plan(
    targets: list[Target], rows: list[dict[str, Any]], quick: bool
) -> list[tuple[Target, str, Cell, float]]:
    """What is compared adjoins here, too."""
    slow = (1_000,) if quick else (1_000, 10_000)
    plan = [(t, f"{per_s:,}/s", (1, 1), float(per_s)) for per_s in slow for t in targets]
    if quick:
        return plan
    cell = (rows[-1]["clients"], rows[-1]["orders_per_frame"])
    most = {row["target"]: row["orders_per_s"] for row in rows}  # in the last of the cells
    plan += [(t, "50,000/s", cell, 50_000.0) for t in targets]
    exchanges = [t for t in targets if t.name != NULL]  # the null mesh has another maximum
    plan += [
        (t, f"{share:.0%}", cell, most[t.name] * share) for share in (0.5, 0.8) for t in exchanges
    ]
    return plan


def summary(
    rows: list[dict[str, Any]], latencies: list[dict[str, Any]], durability: str
) -> dict[str, Any]:
    """The flat object: the last cell of the first durability, latency at 1,000 orders/s."""
    result: dict[str, Any] = {}
    for prefix, name in (("", durability), ("null_", NULL)):
        own = [row for row in rows if row["target"] == name]
        if own:
            result[f"{prefix}orders_per_s"] = own[-1]["orders_per_s"]
            slow = next(row for row in latencies if row["target"] == name)
            result[f"{prefix}p50_us"], result[f"{prefix}p99_us"] = slow["p50_us"], slow["p99_us"]
            result["clients"] = own[-1]["clients"]
            result["orders_per_frame"] = own[-1]["orders_per_frame"]
    if "null_orders_per_s" in result and "orders_per_s" in result:
        for key in ("p50", "p99"):
            result[f"{key}_ratio"] = round(result[f"{key}_us"] / result[f"null_{key}_us"], 3)
        ratio = result["orders_per_s"] / result["null_orders_per_s"]
        result["throughput_ratio"] = round(ratio, 4)
    return result | {"durability": durability}


def tables(rows: list[dict[str, Any]], latencies: list[dict[str, Any]]) -> list[Table]:
    rates = Table("", "clients", "orders/frame", "acknowledged orders/s", "CPU us/order by process")
    for row in rows:
        cpu = "  ".join(f"{s} {us:.1f}" for s, us in row["cpu_us_per_order"].items())
        low, high = row["orders_per_s_min"], row["orders_per_s_max"]
        rate = f"{row['orders_per_s']:,} [{low:,} .. {high:,}]"
        cell = (str(row["clients"]), str(row["orders_per_frame"]))
        rates.add_row(row["target"], *cell, rate, cpu)
    times = Table("", "load", "p50", "p99", "p99.9", "max", "to match p50/p99", "back p50/p99",
                  title="order to report, us, from when the order was due")  # fmt: skip
    for row in latencies:
        parts = [f"{row[f'{p}_us']:,}" for p in ("p50", "p99", "p999", "max")]
        stages = [
            f"{row[f'{stage}_p50_us']:,} / {row[f'{stage}_p99_us']:,}"
            for stage in ("to_match", "to_client")
            if f"{stage}_p50_us" in row
        ]
        times.add_row(row["target"], row["load"], *parts, *stages)
    return [rates, times]


def shared_options(command: Any) -> Any:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else"),
        click.option("--quick", is_flag=True, help="within a minute: fewer cells, one rate"),
        click.option("--repetitions", type=int, default=3, show_default=True),
        click.option("--seconds", type=float, default=3.0, show_default=True, help="of one run"),
        click.option("--orders-per-frame", type=int, multiple=True, default=(1, 16),
                     show_default=True),
        click.option("--clients", type=int, multiple=True, default=(1, 4), show_default=True),
    ):  # fmt: skip
        command = option(command)
    return command


def run(
    durabilities: tuple[str, ...], vs_null: bool, unpinned: bool, clients: tuple[int, ...],
    orders_per_frame: tuple[int, ...], seconds: float, repetitions: int, quick: bool,
    as_json: bool,
) -> None:  # fmt: skip
    cells = [(c, f) for c in clients for f in orders_per_frame]
    if quick:
        cells, seconds, repetitions = cells[-1:], min(seconds, 1.5), min(repetitions, 3)
    where = environment()
    with contextlib.ExitStack() as stack:
        targets = [exchange(stack, durability) for durability in durabilities]
        targets += [exchange(stack, durabilities[0], pin=False)] if unpinned else []
        targets += [null(stack)] if vs_null else []
        rows = measure_throughput(targets, cells, seconds, repetitions, as_json)
        plan = latency_plan(targets, rows, quick)
        latencies = measure_latency(plan, seconds, repetitions, as_json)
    first = durabilities[0] if durabilities else NULL
    result = summary(rows, latencies, first)
    result |= {"compiled": where["compiled"], "cells": rows, "latency": latencies}
    show(result | {"environment": where}, as_json, *tables(rows, latencies))


@click.command(help=__doc__)
@click.option("--durability", "durabilities", type=click.Choice(["never", "interval", "always"]),
              multiple=True, default=("never",), show_default=True)  # fmt: skip
@click.option("--vs-null", is_flag=True, help="measure the null mesh too, and the ratios")
@click.option("--unpinned", is_flag=True, help="measure the first durability without pinning, too")
@shared_options
def main(durabilities: tuple[str, ...], vs_null: bool, unpinned: bool, **options: Any) -> None:
    run(durabilities, vs_null, unpinned, **options)


@click.command()
@shared_options
def null_main(**options: Any) -> None:
    """The null mesh alone, see benchmarks.mesh."""
    run((), True, False, **options)


if __name__ == "__main__":
    main()
