"""CPU per order against size: open orders, symbols, accounts, sessions, shards.

    python -m benchmarks.scale [--largest N] [--requests N] [--json]

The chain of benchmarks.cores (gateway, risk and matcher in one process, no sockets), one size
varied at a time; shards are of risk and of the matcher alike. Cancels and replaces are of the
oldest orders, so that with many of them every one is cold memory. The goal is that a million open
orders cost at most 1.3 times what a thousand do.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import click
from rich.table import Table
from rtes.benchmarks.cores import BATCH, CORES, Chain, spend
from rtes.benchmarks.harness import environment, interleaved, median, show

GOAL_RATIO: Final = 1.3


@dataclass(frozen=True)
class Size:
    """Of the exchange that is measured. accounts: that it knows; sessions: that trade."""

    open_orders: int = 1_000
    symbols: int = 10
    accounts: int = 10
    sessions: int = 10
    shards: int = 1


SIZES: Final = {
    "open_orders": (1_000, 10_000, 100_000, 1_000_000),
    "symbols": (1, 10, 100, 1_000),
    "accounts": (1, 10, 100, 1_000, 10_000),
    "sessions": (1, 10, 100, 1_000),
    "shards": (1, 2, 3, 4),
}


def cells(largest: int) -> dict[tuple[str, int], Size]:
    """By what is varied and how far."""
    found = {}
    for name, values in SIZES.items():
        for value in values:
            if value <= max(largest, values[0]):
                size = replace(Size(), **{name: value})
                found[name, value] = (
                    replace(size, accounts=max(size.accounts, value))
                    if name == "sessions"
                    else replace(size, sessions=min(size.sessions, size.accounts))
                )
    return found


def measure(size: Size, requests: int, seed: int) -> dict[str, float]:
    """CPU us per request by core."""
    symbols = [f"SYM{i}" for i in range(size.symbols)]
    each = max(1, size.open_orders // size.sessions)
    chain = Chain(seed, symbols, size.accounts, size.sessions, each, size.shards)
    chain.rest(size.open_orders)
    before = chain.open_orders()
    cost = spend(chain, 1, requests)
    return cost | {"open_before": before, "open_after": chain.open_orders()}


@click.command(help=__doc__)
@click.option("--largest", type=int, default=1_000_000, show_default=True, help="size of any kind")
@click.option("--only", type=click.Choice([*SIZES]), multiple=True, help="vary only this")
@click.option("--requests", type=click.IntRange(min=BATCH), default=50_000, show_default=True)
@click.option("--repetitions", type=int, default=3, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(
    largest: int, only: tuple[str, ...], requests: int, repetitions: int, seed: int, as_json: bool
) -> None:
    wanted = {key: size for key, size in cells(largest).items() if not only or key[0] in only}

    def run(size: Size, r: int) -> dict[str, float]:
        return measure(size, requests, seed + r)

    found = interleaved(list(dict.fromkeys(wanted.values())), repetitions, run)
    rows: list[dict[str, Any]] = []
    for (name, value), size in wanted.items():
        row: dict[str, Any] = {"varied": name, "size": value}
        row |= {key: median((x[key] for x in found[size]), 2) for key in found[size][0]}
        first = next((r for r in rows if r["varied"] == name), row)
        rows.append(row | {"ratio": round(row["sum"] / first["sum"], 2)})
    table = Table("varied", "size", *CORES, "sum", "ratio", title="CPU us per order")
    for row in rows:
        figures = (f"{row[key]:.2f}" for key in (*CORES, "sum", "ratio"))
        table.add_row(row["varied"].replace("_", " "), f"{row['size']:,}", *figures)
    result = {"goal_ratio": GOAL_RATIO, "rows": rows, "environment": environment()}
    ratios = [row["ratio"] for row in rows if row["varied"] == "open_orders"]
    show(({"open_orders_ratio": ratios[-1]} if ratios else {}) | result, as_json, table)


if __name__ == "__main__":
    main()
