"""What metrics cost on the path of an order, as a share of the CPU time that the order takes.

    python -m benchmarks.metrics [--requests N] [--repetitions N] [--json]

An order is what it is in benchmarks.cores. What its metrics do is measured by itself and set
against that: one duration observed in each of three services for every frame (in a batch it is one
for many), one addition to a counter in each, two reports a second to health. So that is the most.
"""

import time
from typing import Any, Final

import click
from rich.table import Table
from rtes.benchmarks.cores import CORES, Chain, measure
from rtes.benchmarks.harness import environment, interleaved, show
from rtes.common.clock import Clock
from rtes.common.histogram import Histogram
from rtes.common.loop import HEALTH_INTERVAL_NS, Core, Loop

PER_FRAME: Final = (1, 16)
REPORTS: Final = 200
REPEATS: Final = 1_000_000


class NoPorts:
    """Where nothing comes from, and reports go."""

    def wait(self, _timeout_ms: int) -> list[int]:
        return []

    def receive(self, _channel: int) -> list[Any]:
        return []

    def send(self, _channel: int, _routing_id: bytes | None, _frame: bytes) -> bool:
        return True


def report_us(core: Core) -> float:
    """CPU us of one report to health, checks included."""
    loop = Loop(core, NoPorts(), Clock(), "core")
    start = time.thread_time_ns()
    for _ in range(REPORTS):
        loop.report()
    return (time.thread_time_ns() - start) / 1e3 / REPORTS


class _Counts:
    """Like those of the cores."""

    def __init__(self) -> None:
        self.orders = 0


def addition_us() -> float:
    """CPU us of one counter's addition."""
    counts, clock = _Counts(), time.thread_time_ns
    start = clock()
    for _ in range(REPEATS):
        counts.orders += 1
    return (clock() - start) / 1e3 / REPEATS


def observation_us() -> float:
    """CPU us of one duration put into a histogram."""
    observe, clock = Histogram().observe, time.thread_time_ns
    start = clock()
    for ns in range(REPEATS):
        observe(ns, 1)
    return (clock() - start) / 1e3 / REPEATS


@click.command(help=__doc__)
@click.option("--requests", type=int, default=10_000, show_default=True, help="of one run")
@click.option("--repetitions", type=int, default=9, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(requests: int, repetitions: int, as_json: bool) -> None:
    where = environment()

    def spent_us(per_frame: int, r: int) -> float:
        return measure(per_frame, requests, r)["sum"]

    found = interleaved(PER_FRAME, repetitions, spent_us, as_json)
    named: list[tuple[str, Core]] = list(zip(CORES, Chain(1).cores, strict=True))
    reports = {name: report_us(core) for name, core in named}
    report_share = max(reports.values()) * 1e3 / HEALTH_INTERVAL_NS
    observed_us, added_us = len(CORES) * observation_us(), len(CORES) * addition_us()
    table = Table("orders a frame", "CPU us", "histograms", "counters", "reports", "all",
                  title="CPU us per order of all cores; shares of it")  # fmt: skip
    rows = []
    for per_frame in PER_FRAME:
        # the fastest: what a run takes longer is what other programs of the machine cost it
        order_us = min(found[per_frame])
        shares = {
            "histograms": observed_us / per_frame / order_us,
            "counters": added_us / order_us,
            "reports": report_share,
        }
        shares["all"] = sum(shares.values())
        row = {"orders_per_frame": per_frame, "order_us": round(order_us, 3)}
        rows.append(row | {name: round(share, 4) for name, share in shares.items()})
        told = (f"{share:.2%}" for share in shares.values())
        table.add_row(str(per_frame), f"{order_us:.2f}", *told)
    result: dict[str, Any] = {
        "cost_max": max(row["all"] for row in rows),
        "rows": rows,
        "report_us": {name: round(us, 1) for name, us in reports.items()},
        "repetitions": repetitions,
        "environment": where,
    }
    show(result, as_json, table)


if __name__ == "__main__":
    main()
