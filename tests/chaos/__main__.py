"""A campaign: `python -m tests.chaos --kills 1000 --seed 1 [--durability never] [--json]`, or
`python -m tests.chaos --failpoints --runs 100`, in which every run passes every failpoint.

Runs take turns in keeping the whole journal and in removing what snapshots cover. Ctrl-C ends it
with the figures so far. Exit code 1 when any promise was broken; a failed run's files are kept.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
from rich.progress import Progress

from tests.chaos.campaign import FAILPOINTS, Outcome, Run, execute, failpoints, random_kills

RETENTIONS = ("all", "snapshots")
KILLS_PER_RUN = 50  # then a new mesh: a run that fails is short enough to look at


@click.command(help=__doc__)
@click.option("--kills", type=click.IntRange(1), default=100, show_default=True)
@click.option("--failpoints", "at_failpoints", is_flag=True, help="Every failpoint in every run.")
@click.option("--runs", type=click.IntRange(1), default=1, help="Of --failpoints.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--durability", type=click.Choice(["always", "never"]), default="always")
@click.option("--shards", type=click.IntRange(1, 5), default=1, help="Of each service.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a bar.")
def main(
    kills: int,
    at_failpoints: bool,
    runs: int,
    seed: int,
    durability: str,
    shards: int,
    as_json: bool,
) -> None:
    began, total, done = time.monotonic(), Outcome(), 0
    goals = [min(KILLS_PER_RUN, kills - done) for done in range(0, kills, KILLS_PER_RUN)]
    work: list[Callable[[Run], None]] = [partial(random_kills, kills=goal) for goal in goals]
    if at_failpoints:
        work = [partial(failpoints, names=FAILPOINTS)] * runs
        kills = runs * sum(map(len, FAILPOINTS.values()))
    with Progress(disable=as_json) as bar:
        task = bar.add_task("failpoints" if at_failpoints else "kills", total=kills)

        def tell(now: Outcome) -> None:
            dead = [sum(o.deaths.values()) if at_failpoints else o.kills for o in (total, now)]
            bar.update(task, completed=sum(dead))

        for number, one in enumerate(work):
            directory = Path(tempfile.mkdtemp(prefix="rtes-chaos-"))
            settings = {"durability": durability, "retention": RETENTIONS[number % 2]}
            try:
                outcome = execute(directory, 1_000 * seed + number, settings, one, tell, shards)
            except KeyboardInterrupt:
                shutil.rmtree(directory)
                break
            done += 1
            total.update(outcome)
            if outcome.findings.counts:
                click.echo(f"run {number}, {directory}: {outcome.findings.texts}", err=True)
            else:
                shutil.rmtree(directory)
    result = {"runs": done, **total.summary(), "durability": durability, "seed": seed}
    result["shards"] = shards
    result["seconds"] = round(time.monotonic() - began, 1)
    click.echo(json.dumps(result) if as_json else json.dumps(result, indent=2))
    sys.exit(1 if total.findings.counts else 0)


if __name__ == "__main__":
    main()
