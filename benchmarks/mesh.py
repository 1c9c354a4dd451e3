"""What the exchange does as shipped: acknowledged orders per second, latency, CPU per order.

    python -m benchmarks.mesh [--vs-null] [--unpinned] [--quick] [--durability MODE]... [--json]

Starts exchanges of its own (one per durability, all services, settings of the dev profile) beside
whatever runs, and drives them through the gateway as participants do, over CURVE. Medians of
interleaved rounds; each run begins when all is idle, then the other meshes stand still.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table
from rtes.benchmarks.driver import (
    PARTICIPANTS,
    Target,
    alone,
    cpu_us,
    drive,
    percentiles,
    settle,
    target_of,
)
from rtes.benchmarks.harness import environment, interleaved, median, show
from rtes.benchmarks.load import WARM_UP_S
from rtes.benchmarks.null_mesh import NullMesh
from rtes.client.cli_performance import scrape, stages
from rtes.client.testing import Mesh
from rtes.common.config import load
from rtes.common.messages import BATCH_MESSAGES_MAX
from rtes.common.placement import MEMBERS

NULL: Final = "null mesh"
UNPINNED: Final = "unpinned"
SHIPPED: Final = {"journal", "risk", "session"}  # sections of the dev profile that decide figures
ON_THE_PATH: Final = ("gateway", "risk", "matcher")
STAGES: Final = ("gateway to risk", "gateway to matcher", "gateway to report")
HEARD_S: Final = 1.2  # until health has heard of the last order, twice over
CELL: Final = ("clients", "orders_per_frame")
CELL_HEAD: Final = ("clients", "a frame")
Cell = tuple[int, int]  # these two


def exchange(stack: contextlib.ExitStack, durability: str, pin: bool = True) -> Target:
    """All services with the dev profile's settings; without pin wherever the kernel puts them."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    sections = load("dev", {}).model_dump(mode="json", include=SHIPPED)
    sections["journal"]["durability"] = durability
    mesh = stack.enter_context(Mesh(directory, MEMBERS, **sections, mesh={"pin": pin}))
    return target_of(durability if pin else f"{durability}, {UNPINNED}", mesh)


def null(stack: contextlib.ExitStack) -> Target:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    mesh = stack.enter_context(NullMesh(directory))
    return Target(NULL, mesh.endpoint, [str(mesh.key_file)] * len(PARTICIPANTS), mesh.processes, [])


def throughput(target: Target, cell: Cell, seconds: float, seed: int) -> dict[str, Any]:
    """Answered requests per second, all clients together, and CPU us of each by process."""
    before = cpu_us(target)
    results = drive(target, *cell, seconds, seed)
    rate = sum(r["answered"] / r["seconds"] for r in results)
    return {"per_s": rate, "cpu": cpu_since(before, target, rate * (seconds + WARM_UP_S))}


def cpu_since(before: dict[str, float], target: Target, orders: float) -> dict[str, float]:
    """CPU us per order by process, once those that fell behind have caught up."""
    settle([target])
    return {name: (us - before[name]) / orders for name, us in cpu_us(target).items()}


def latency(target: Target, cell: Cell, seconds: float, seed: int, per_s: float) -> dict[str, Any]:
    """Of orders at a fixed rate: from when each was due, and by stage as the exchange times it."""
    before, stages_before = cpu_us(target), scrape(target.config) if target.config else {}
    found: dict[str, Any] = percentiles(drive(target, *cell, seconds, seed, per_s))
    used = cpu_since(before, target, per_s * seconds)  # warm-up and all
    found["path_cpu_us"] = sum(used[name] for name in ON_THE_PATH)
    if target.config:
        time.sleep(HEARD_S)
        for row in stages(scrape(target.config), stages_before):
            if row["stage"] in STAGES:
                found |= {stage_key(row["stage"], p): row[f"{p}_us"] for p in ("p50", "p99")}
    return found


def measure_throughput(
    targets: list[Target], cells: list[Cell], seconds: float, repetitions: int
) -> list[dict[str, Any]]:
    plan = [(target, cell) for cell in cells for target in targets]  # what is compared adjoins

    def run(at: tuple[Target, Cell], r: int) -> dict[str, Any]:
        with alone(at[0], targets):
            return throughput(*at, seconds, r)

    rows = []
    for (target, cell), runs in interleaved(plan, repetitions, run, "throughput").items():
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
                "path_cpu_us": round(sum(cpu[name] for name in ON_THE_PATH), 2),
                "cpu_us_per_order": cpu,
            }
        )
    return rows


def compare(rows: list[dict[str, Any]], alike: Sequence[str], figures: Sequence[str]) -> None:
    """Add to each row the ratio of its figures to those of the first target and of the null mesh,
    in rows whose fields are alike."""
    for row in rows:
        for name, key in ((rows[0]["target"], "of_first"), (NULL, "of_null")):
            for other in rows:
                if other["target"] == name and all(other[k] == row[k] for k in alike):
                    row |= {f"{f}_{key}": round(row[f] / other[f], 3) for f in figures}


def measure_latency(
    plan: list[tuple[Target, str, Cell, float]], seconds: float, repetitions: int
) -> list[dict[str, Any]]:
    """plan: target, what the rate is called, clients and orders per frame, orders/s."""
    targets = dict.fromkeys(target for target, *_ in plan)

    def run(at: tuple[Target, str, Cell, float], r: int) -> dict[str, Any]:
        target, _, cell, per_s = at
        with alone(target, targets):
            return latency(target, cell, seconds, r, per_s)

    rows = []
    for at, runs in interleaved(plan, repetitions, run, "latency").items():
        target, name, cell, per_s = at
        row = {"target": target.name, "load": name, "orders_per_s": round(per_s)}
        row |= {"clients": cell[0], "orders_per_frame": cell[1]}
        rows.append(row | {key: median((r[key] for r in runs), 1) for key in runs[0]})
    return rows


def latency_plan(
    targets: list[Target], rows: list[dict[str, Any]], quick: bool
) -> list[tuple[Target, str, Cell, float]]:
    """What is compared adjoins here, too. Shares are of an exchange's own maximum in the last of
    the cells; the null mesh has the load of the first exchange."""
    slow = (1_000,) if quick else (1_000, 10_000)
    plan = [(t, f"{per_s:,}/s", (1, 1), float(per_s)) for per_s in slow for t in targets]
    if quick:
        return plan
    cell = (rows[-1]["clients"], rows[-1]["orders_per_frame"])
    plan += [(t, "50,000/s", cell, 50_000.0) for t in targets]
    most = {row["target"]: row["orders_per_s"] for row in rows}
    most[NULL] = most[targets[0].name]
    return plan + [(t, f"{share:.0%}", cell, most[t.name] * share)
                   for share in (0.5, 0.8) for t in targets]  # fmt: skip


def summary(
    rows: list[dict[str, Any]], latencies: list[dict[str, Any]], first: str
) -> dict[str, Any]:
    """The flat object: the last cell of the first target and of the null mesh, and latency at
    1,000 orders/s; None where it was not measured."""
    own, null_own = (_first_of(reversed(rows), name) for name in (first, NULL))
    slow, null_slow = (_first_of(latencies, name) for name in (first, NULL))
    return {
        "orders_per_s": own["orders_per_s"],
        "null_orders_per_s": null_own.get("orders_per_s"),
        "throughput_ratio": own.get("orders_per_s_of_null"),
        "p50_us": slow["p50_us"],
        "p99_us": slow["p99_us"],
        "null_p50_us": null_slow.get("p50_us"),
        "null_p99_us": null_slow.get("p99_us"),
        "p50_ratio": slow.get("p50_us_of_null"),
        "p99_ratio": slow.get("p99_us_of_null"),
        "durability": first,
        "clients": own["clients"],
        "orders_per_frame": own["orders_per_frame"],
    }


def _first_of(rows: Iterable[dict[str, Any]], target: str) -> dict[str, Any]:
    return next((row for row in rows if row["target"] == target), {})


def tables(rows: list[dict[str, Any]], latencies: list[dict[str, Any]]) -> list[Table]:
    rates = Table("", *CELL_HEAD, "orders/s", "lowest", "highest", "of first", "of null mesh",
                  title="acknowledged orders per second")  # fmt: skip
    cpu = Table("", *CELL_HEAD, "on the path", *rows[0]["cpu_us_per_order"],
                title="CPU us per order; the path is gateway, risk and matcher")  # fmt: skip
    for row in rows:
        cell = row["target"], str(row["clients"]), str(row["orders_per_frame"])
        rates.add_row(
            *cell, *(f"{row[f'orders_per_s{of}']:,}" for of in ("", "_min", "_max")),
            _ratio(row, "orders_per_s_of_first"), _ratio(row, "orders_per_s_of_null"),
        )  # fmt: skip
        used = (row["cpu_us_per_order"].get(name) for name in rows[0]["cpu_us_per_order"])
        cpu.add_row(*cell, f"{row['path_cpu_us']:.2f}",
                    *("" if us is None else f"{us:.2f}" for us in used))  # fmt: skip
    times = Table("", "load", "orders/s", "p50", "p99", "p99.9", "max", "of null p50", "p99",
                  "lost", "load late",
                  title="order to report, us, from when the order was due")  # fmt: skip
    by_stage = Table("", "load", *(f"{stage} {p}" for stage in STAGES for p in ("p50", "p99")),
                     title="stages, us, as rtes latency tells them")  # fmt: skip
    for row in latencies:
        times.add_row(
            row["target"], row["load"], f"{row['orders_per_s']:,}",
            *(f"{row[f'{p}_us']:,.0f}" for p in ("p50", "p99", "p999", "max")),
            _ratio(row, "p50_us_of_null"), _ratio(row, "p99_us_of_null"),
            f"{row['unanswered']:,.0f}", f"{row['load_late_us']:,.0f}",
        )  # fmt: skip
        if row["target"] != NULL:
            by_stage.add_row(
                row["target"], row["load"],
                *(f"{row[stage_key(stage, p)]:,.0f}" for stage in STAGES for p in ("p50", "p99")),
            )  # fmt: skip
    return [rates, cpu, times, by_stage]


def stage_key(stage: str, percentile: str) -> str:
    return f"{stage.replace(' ', '_')}_{percentile}_us"


def _ratio(row: dict[str, Any], key: str) -> str:
    return f"{row[key]:.3f}" if key in row else ""


def shared_options(command: Any) -> Any:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else"),
        click.option("--quick", is_flag=True, help="within a minute: fewer cells, one rate"),
        click.option("--repetitions", type=click.IntRange(min=1), default=3, show_default=True,
                     help="rounds, of which medians are taken"),
        click.option("--seconds", type=click.FloatRange(min=1), default=3.0, show_default=True,
                     help="of one run"),
        click.option("--orders-per-frame", type=click.IntRange(1, BATCH_MESSAGES_MAX),
                     multiple=True, default=(1, 16), show_default=True,
                     help="repeat it for several"),
        click.option("--clients", type=click.IntRange(1, len(PARTICIPANTS)), multiple=True,
                     default=(1, 4), show_default=True, help="an account each; repeat it, too"),
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
        rows = measure_throughput(targets, cells, seconds, repetitions)
        plan = latency_plan(targets, rows, quick)
        latencies = measure_latency(plan, seconds, repetitions)
    compare(rows, CELL, ("orders_per_s",))
    compare(latencies, ("load", "orders_per_s"), ("p50_us", "p99_us"))
    result = summary(rows, latencies, targets[0].name)
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
