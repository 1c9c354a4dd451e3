"""What metrics cost on the path of an order, as a share of the CPU time that the order takes.

    python -m benchmarks.metrics [--requests N] [--repetitions N] [--json]

An order is what it is in benchmarks.cores with 16 in a batch; under full load there are more. What
its metrics do is measured by itself and set against that: a duration observed for every batch in
each of three services, an addition to a counter for every order, two reports a second to health.
Measured from plain Python, also where the cores are compiled: so that is the most it can be.
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

PER_BATCH: Final = 16
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
    counts = _Counts()
    start = time.thread_time_ns()
    for _ in range(REPEATS):
        counts.orders += 1
    return (time.thread_time_ns() - start) / 1e3 / REPEATS - round_us()


def observation_us() -> float:
    """CPU us of one duration put into a histogram."""
    observe = Histogram().observe
    start = time.thread_time_ns()
    for ns in range(REPEATS):
        observe(ns, 1)
    return (time.thread_time_ns() - start) / 1e3 / REPEATS - round_us()


def round_us() -> float:
    """CPU us of a round of a loop that does nothing."""
    start = time.thread_time_ns()
    for _ in range(REPEATS):
        pass
    return (time.thread_time_ns() - start) / 1e3 / REPEATS


@click.command(help=__doc__)
@click.option("--requests", type=int, default=10_000, show_default=True, help="of one run")
@click.option("--repetitions", type=int, default=9, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(requests: int, repetitions: int, as_json: bool) -> None:
    where = environment()

    found = interleaved(
        (PER_BATCH,), repetitions, lambda batch, r: measure(batch, requests, r)["sum"]
    )
    named: list[tuple[str, Core]] = list(zip(CORES, Chain(1).cores, strict=True))
    reports = {name: report_us(core) for name, core in named}
    # the fastest: what a run takes longer is what other programs of the machine cost it
    order_us = min(found[PER_BATCH])
    shares = {
        "histograms": len(CORES) * observation_us() / PER_BATCH / order_us,
        "counters": addition_us() / order_us,
        "reports": max(reports.values()) * 1e3 / HEALTH_INTERVAL_NS,
    }
    shares = {name: round(share, 4) for name, share in shares.items()}
    shares["all"] = round(sum(shares.values()), 4)
    table = Table("order, CPU us", *shares, title="shares of what an order costs all cores")
    table.add_row(f"{order_us:.2f}", *(f"{share:.2%}" for share in shares.values()))
    result: dict[str, Any] = {
        "order_us": round(order_us, 3),
        **shares,
        "report_us": {name: round(us, 1) for name, us in reports.items()},
        "repetitions": repetitions,
        "environment": where,
    }
    show(result, as_json, table)


if __name__ == "__main__":
    main()
