"""What metrics cost on the path of an order, as a share of the CPU time that the order takes.

    RTES_COMPILE=0 python -m benchmarks.metrics [--requests N] [--repetitions N] [--json]

As in benchmarks.cores, in every other run with Histogram.observe replaced by nothing. What remains,
a counter for each order and two reports a second to health, is measured by itself. Only plain
Python can leave something out, so the compiled cores are refused.
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

ON, OFF = "with histograms", "without"
PER_FRAME: Final = (1, 16)
REPORTS: Final = 200
ADDITIONS: Final = 1_000_000
Cell = tuple[str, int]


def spent_us(cell: Cell, requests: int, seed: int) -> float:
    """CPU us per request of all three cores together."""
    how, per_frame = cell
    observe = Histogram.observe
    try:
        if how == OFF:
            setattr(Histogram, "observe", lambda _self, _ns, _weight=1: None)  # noqa: B010
        return measure(per_frame, requests, seed)["sum"]
    finally:
        setattr(Histogram, "observe", observe)  # noqa: B010


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
    for _ in range(ADDITIONS):
        counts.orders += 1
    half = clock()
    for _ in range(ADDITIONS):
        pass
    return ((half - start) - (clock() - half)) / 1e3 / ADDITIONS


@click.command(help=__doc__)
@click.option("--requests", type=int, default=10_000, show_default=True, help="of one run")
@click.option("--repetitions", type=int, default=40, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(requests: int, repetitions: int, as_json: bool) -> None:
    where = environment()
    if where["compiled"]:
        raise click.ClickException("the compiled cores cannot leave it out: set RTES_COMPILE=0")
    cells = [(how, per_frame) for per_frame in PER_FRAME for how in (ON, OFF)]
    found = interleaved(cells, repetitions, lambda c, r: spent_us(c, requests, r), as_json)
    chain = Chain(1)
    named: list[tuple[str, Core]] = list(zip(CORES, chain.cores, strict=True))
    reports = {name: report_us(core) for name, core in named}
    report_share = max(reports.values()) * 1e3 / HEALTH_INTERVAL_NS
    counter_us = addition_us()
    table = Table("orders a frame", ON, OFF, "histograms", "counters", "reports", "all",
                  title="CPU us per order of all cores; shares of it")  # fmt: skip
    rows = []
    for per_frame in PER_FRAME:
        # the fastest: what a run takes longer is what other programs of the machine cost it
        on_us, off_us = (round(min(found[how, per_frame]), 3) for how in (ON, OFF))
        histograms = round(max(0.0, 1 - off_us / on_us), 4)
        counters = counter_us / on_us
        row = {
            "orders_per_frame": per_frame, "on_us": on_us, "off_us": off_us,
            "histograms": histograms, "counters": round(counters, 4),
            "reports": round(report_share, 4),
            "all": round(histograms + counters + report_share, 4),
        }  # fmt: skip
        rows.append(row)
        shares = (f"{row[n]:.2%}" for n in ("histograms", "counters", "reports", "all"))
        table.add_row(str(per_frame), f"{on_us:.2f}", f"{off_us:.2f}", *shares)
    result = {
        "cost_max": max(row["all"] for row in rows),
        "rows": rows,
        "report_us": {name: round(us, 1) for name, us in reports.items()},
        "repetitions": repetitions,
        "environment": where,
    }
    show(result, as_json, table)


if __name__ == "__main__":
    main()
