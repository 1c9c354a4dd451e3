"""What one flooder costs the others: their order-to-report latency with and without it.

    python -m benchmarks.hostile [--flood-per-s N] [--limit-per-s N] [--quick] [--json]

One exchange with a limit of messages per session; its participants send at a fixed rate, over
CURVE. In interleaved rounds nobody else sends; one more sends as much as it may; or it floods with
ten times that, is banned after half a second, and goes on trying. Both under SCHED_IDLE, so that
their own work takes little from the others, whom it should cost nothing.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table
from rtes.benchmarks.driver import (
    PARTICIPANTS,
    Target,
    cpu_us,
    drive,
    percentiles,
    settle,
    target_of,
)
from rtes.benchmarks.harness import environment, interleaved, median, show
from rtes.client.testing import Mesh
from rtes.common.refdata import load_instruments

PERCENTILES: Final = ("p50", "p99", "p999")
SERVICES: Final = ("matcher", "archive", "risk", "gateway", "marketdata")
CLIENTS: Final = len(PARTICIPANTS)
QUIET, ALLOWED, FLOODED = "quiet", "one more, at its limit", "flooded"
CELLS: Final = (QUIET, ALLOWED, FLOODED)
ALLOWED_SHARE: Final = 0.95  # of the limit, so that it is not hit by chance


class Flood:
    """The flooder's process while the block runs; told is what it says at the end."""

    def __init__(self, mesh: Mesh, account: str, per_s: float, per_frame: int) -> None:
        instrument = load_instruments(mesh.config.exchange.instruments).instruments[0]
        spec = {
            "endpoint": mesh.config.exchange.orders_endpoint,
            "key": str(mesh.paths.key_file(account)),
            "per_s": per_s,
            "per_frame": per_frame,
            "symbol": instrument.symbol,
            "price": instrument.reference_price * 95 // 100,
        }
        self._command = [sys.executable, "-m", "rtes.benchmarks.flooder", json.dumps(spec)]
        self.told: dict[str, Any] = {}

    def __enter__(self) -> "Flood":
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise SystemExit("the flooder could not begin")
        return self

    def __exit__(self, *_error: object) -> None:
        output, _ = self._process.communicate("stop\n", timeout=60)
        self.told = json.loads(output)


def one_run(
    target: Target, flood: Flood | None, per_s: float, seconds: float, seed: int
) -> dict[str, Any]:
    """Latency of the others, and the gateway's CPU time as a share of one core."""
    before = cpu_us(target)
    if flood is None:
        found: dict[str, Any] = percentiles(drive(target, CLIENTS, 1, seconds, seed, per_s))
    else:
        with flood:
            found = percentiles(drive(target, CLIENTS, 1, seconds, seed, per_s))
    after = cpu_us(target)
    found["gateway_cpu"] = (after["gateway"] - before["gateway"]) / 1e6 / seconds
    if flood is not None:
        found["flood_per_s"] = flood.told["sent_per_s"]
        found["flood_told"] = flood.told["told"]
    return found


def measure(
    limit_per_s: int, flood_per_s: float, per_frame: int, per_s: float, seconds: float,
    repetitions: int,
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """Runs by cell."""
    session = {"messages_per_s_max": limit_per_s}
    with (
        tempfile.TemporaryDirectory() as directory,
        Mesh(Path(directory), SERVICES, session=session) as mesh,
    ):
        target = target_of("exchange", mesh)
        rates = {FLOODED: flood_per_s, ALLOWED: limit_per_s * ALLOWED_SHARE}

        def run(cell: str, r: int) -> dict[str, Any]:
            account = f"BOT{r + 1:02}"  # each time another: who has flooded is banned
            flood = Flood(mesh, account, rates[cell], per_frame) if cell in rates else None
            settle([target])
            return one_run(target, flood, per_s, seconds, r)

        return interleaved(CELLS, repetitions, run)


def summary(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians by cell, and the ratios of flooded to the others."""
    rows = {}
    for cell, runs in found.items():
        keys = [k for k in runs[0] if isinstance(runs[0][k], int | float)]
        rows[cell] = {key: median((run[key] for run in runs), 2) for key in keys}
        rows[cell]["p99_us_min"] = min(run["p99_us"] for run in runs)
        rows[cell]["p99_us_max"] = max(run["p99_us"] for run in runs)
    ratios = {
        f"{p}_{name}": round(rows[FLOODED][f"{p}_us"] / rows[cell][f"{p}_us"], 3)
        for cell, name in ((QUIET, "ratio"), (ALLOWED, "ratio_to_limit"))
        for p in PERCENTILES
    }
    told = [run["flood_told"] for run in found[FLOODED]]
    return {**ratios, **rows, "flood_told": told[-1]}


def table_of(result: dict[str, Any]) -> Table:
    table = Table("", "p50", "p99 [min .. max]", "p99.9", "unanswered", "gateway CPU", "flood/s",
                  title="others, order to report, us")  # fmt: skip
    for cell in CELLS:
        row = result[cell]
        p99 = f"{row['p99_us']:,.0f} [{row['p99_us_min']:,.0f} .. {row['p99_us_max']:,.0f}]"
        table.add_row(
            cell, f"{row['p50_us']:,.0f}", p99, f"{row['p999_us']:,.0f}", str(row["unanswered"]),
            f"{row['gateway_cpu']:.0%}", f"{row.get('flood_per_s', 0):,.0f}",
        )  # fmt: skip
    for name, key in (("flooded : quiet", "ratio"), ("flooded : at its limit", "ratio_to_limit")):
        table.add_row(name, *(str(result[f"{p}_{key}"]) for p in PERCENTILES))
    return table


@click.command(help=__doc__)
@click.option("--flood-per-s", type=float, default=20_000.0, show_default=True)
@click.option("--flood-per-frame", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option("--limit-per-s", type=int, default=2_000, show_default=True, help="of a session")
@click.option("--orders-per-s", type=float, default=1_000.0, show_default=True, help="of others")
@click.option("--seconds", type=float, default=4.0, show_default=True, help="of one run")
@click.option("--repetitions", type=click.IntRange(1, 40), default=9, show_default=True)
@click.option("--quick", is_flag=True, help="within a minute")
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(
    flood_per_s: float, flood_per_frame: int, limit_per_s: int, orders_per_s: float,
    seconds: float, repetitions: int, quick: bool, as_json: bool,
) -> None:  # fmt: skip
    if quick:
        seconds, repetitions = min(seconds, 2.0), min(repetitions, 3)
    where = environment()
    found = measure(
        limit_per_s, flood_per_s, flood_per_frame, orders_per_s, seconds, repetitions
    )
    result = summary(found) | {
        "limit_per_s": limit_per_s, "flood_per_frame": flood_per_frame,
        "repetitions": repetitions, "environment": where,
    }  # fmt: skip
    show(result, as_json, table_of(result))


if __name__ == "__main__":
    main()
