"""Run seeds: `python -m tests.simulation --seeds 1000 --start 0 [--json]`."""

import json
import random
import sys
import time

import click
from rich.progress import track

from tests.simulation.checker import violations
from tests.simulation.network import Faults
from tests.simulation.world import World


def faults_of(seed: int) -> Faults:
    """The swarm's choice for a seed."""
    r = random.Random(seed * 7_919)
    return Faults(
        drop=r.choice([0.0, 0.0, 0.01, 0.05, 0.3]),
        duplicate=r.choice([0.0, 0.0, 0.05, 0.3]),
        kill_interval_ms=r.choice([20, 50, 100, 300]),
        power_loss=r.choice([0.0, 0.5]),
        pause=r.choice([0.0, 0.3]),
    )


def run_seed(seed: int) -> tuple[World, list[str]]:
    world = World(seed, faults_of(seed))
    world.run()
    return world, violations(world)


@click.command(help=__doc__)
@click.option("--seeds", type=int, default=100, show_default=True)
@click.option("--start", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(seeds: int, start: int, as_json: bool) -> None:
    began = time.perf_counter()
    kills, bad = 0, {}
    for seed in track(range(start, start + seeds), "simulating", disable=as_json):
        world, found = run_seed(seed)
        kills += world.kills
        if found:
            bad[seed] = found
    result = {
        "seeds": seeds,
        "start": start,
        "violations": sum(len(f) for f in bad.values()),
        "failed_seeds": sorted(bad),
        "kills": kills,
        "seconds": round(time.perf_counter() - began, 1),
    }
    if as_json:
        click.echo(json.dumps(result))
    else:
        click.echo(f"{seeds} seeds, {kills} kills, {result['seconds']} s")
        for seed, found in bad.items():
            click.echo(f"seed {seed}:")
            for line in found[:10]:
                click.echo(f"  {line}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
