"""Run seeds: `python -m tests.simulation --seeds 1000 --start 0 [--jobs 2] [--json]`.

One seed alone that fails prints the last events; exit code 1 when any promise was broken.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter

import click
from rich.progress import track

from tests.simulation.runs import Outcome, outcomes


def commit() -> str:
    """The commit of the checkout, or unknown."""
    run = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return run.stdout.strip() or "unknown"


def report(outcome: Outcome) -> None:
    """Print a seed that failed, and what led to it."""
    for line in outcome.events:
        click.echo(line)
    click.echo(f"seed {outcome.seed}, commit {commit()}; again: make sim SEED={outcome.seed}")
    for line in outcome.found[:20]:
        click.echo(f"  {line}")


@click.command(help=__doc__)
@click.option("--seeds", type=click.IntRange(1), default=100, show_default=True)
@click.option("--start", type=click.IntRange(0), default=0, show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=len(os.sched_getaffinity(0)))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a bar.")
def main(seeds: int, start: int, jobs: int, as_json: bool) -> None:
    began = time.perf_counter()
    orders, kills, snapshots, deaths = 0, 0, 0, Counter[str]()
    bad: list[Outcome] = []
    with outcomes(range(start, start + seeds), jobs) as done:
        for o in track(done, "simulating", total=seeds, disable=as_json):
            kills, orders = kills + o.kills, orders + o.orders
            snapshots += o.snapshots
            deaths.update(o.deaths)
            if o.found:
                bad.append(o)
    result = {
        "seeds": seeds,
        "start": start,
        "violations": sum(len(o.found) for o in bad),
        "failed_seeds": sorted(o.seed for o in bad),
        "kills": kills,
        "deaths": dict(sorted(deaths.items())),
        "orders": orders,
        "snapshots": snapshots,
        "seconds": round(time.perf_counter() - began, 1),
        "jobs": jobs,
        "commit": commit(),
    }
    if as_json:
        click.echo(json.dumps(result))
    else:
        for outcome in sorted(bad)[:5]:
            report(outcome)
        click.echo(json.dumps(result, indent=2))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
