"""What time does to a trading exchange: memory, descriptors and threads of every process.

    python -m benchmarks.soak [--minutes 60] [--rate N] [--json]

One participant trades at a steady rate with a bounded number of open orders; the snapshotter is
running and old segments go, as shipped. Growth is that of anonymous memory (mapped segments of the
journal are the kernel's to drop), from the end of the first quarter to the end: before, tables fill
up to sizes that are theirs to keep.
"""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table
from rtes.benchmarks.driver import Target, drive, percentiles
from rtes.benchmarks.harness import environment, show, tracked
from rtes.benchmarks.idle import memory_mb
from rtes.benchmarks.mesh import exchange

SLICE_S: Final = 10.0  # between two looks


def look(target: Target) -> dict[str, dict[str, float]]:
    """What each process holds now."""
    found = {}
    for name, process in target.processes.items():
        place = Path(f"/proc/{process.pid}")
        found[name] = memory_mb(process.pid) | {
            "descriptors": len(list((place / "fd").iterdir())),
            "threads": len(list((place / "task").iterdir())),
        }
    return found


def growth(samples: list[dict[str, Any]], minutes: float) -> dict[str, Any]:
    """Of one process, from the end of the first quarter to the end."""
    settled, last = samples[len(samples) // 4], samples[-1]
    grown = last["anonymous_mb"] - settled["anonymous_mb"]
    return {
        "rss_mb_start": round(samples[0]["rss_mb"], 1),
        "rss_mb_end": round(last["rss_mb"], 1),
        "anonymous_mb_end": round(last["anonymous_mb"], 1),
        "growth_mb_per_hour": round(grown / minutes * 60 / 0.75, 1),
        "descriptors_start": samples[0]["descriptors"],
        "descriptors_end": last["descriptors"],
        "threads_end": last["threads"],
    }


@click.command(help=__doc__)
@click.option("--minutes", type=click.FloatRange(min=0.05), default=60.0, show_default=True)
@click.option("--rate", type=float, default=2_000.0, show_default=True, help="orders per second")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(minutes: float, rate: float, seed: int, as_json: bool) -> None:
    where = environment()
    slices = max(4, round(minutes * 60 / SLICE_S))
    seconds = minutes * 60 / slices
    looks, latencies, began = [], [], time.monotonic()
    with ExitStack() as stack:
        target = exchange(stack, "never")
        looks.append(look(target))
        for i in tracked(range(slices), "soaking"):
            latencies.append(percentiles(drive(target, 1, 1, seconds, seed + i, rate)))
            looks.append(look(target))
        passed = (time.monotonic() - began) / 60
    rows = [{"process": name} | growth([seen[name] for seen in looks], passed) for name in looks[0]]
    orders = sum(x["samples"] for x in latencies)
    table = Table("process", "RSS, MB, start", "end", "anonymous, MB", "growth, MB/h",
                  "descriptors, start", "end",
                  title=f"{orders:,.0f} orders in {passed:.1f} minutes")  # fmt: skip
    for row in rows:
        keys = ("rss_mb_start", "rss_mb_end", "anonymous_mb_end", "growth_mb_per_hour",
                "descriptors_start")  # fmt: skip
        table.add_row(row["process"], *(str(row[key]) for key in (*keys, "descriptors_end")))
    result = {
        "minutes": round(passed, 2),
        "orders": orders,
        "unanswered": sum(x["unanswered"] for x in latencies),
        "p99_us_first": round(latencies[0]["p99_us"]),
        "p99_us_last": round(latencies[-1]["p99_us"]),
        "processes": rows,
        "samples": looks,
    }
    show(result | {"environment": where}, as_json, table)


if __name__ == "__main__":
    main()
