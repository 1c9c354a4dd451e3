"""One seed after the other, in as many processes as there are cores: run, check, sum up."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.simulation.checker import violations
from tests.simulation.faults import faults_of
from tests.simulation.world import World, size_of


class Outcome(NamedTuple):
    """What one seed came to."""

    seed: int
    found: list[str]
    kills: int
    deaths: dict[str, int]  # of which, by kind; torn: recoveries that cut off a tail
    orders: int
    snapshots: int
    events: list[str]  # the last ones, of a seed that failed


def broken(world: World) -> list[str]:
    """Run a world and judge it; an exception in the exchange is a broken promise too."""
    try:
        world.run()
        return violations(world)
    except Exception as error:
        return [f"crashed: {error!r}"]


def judge(seed: int) -> Outcome:
    """Run and check one seed under the faults of the swarm."""
    world = World(seed, faults_of(seed), size_of(seed))
    found = broken(world)
    deaths = {**world.deaths, "torn": sum(j.torn for j in world.journals)}
    snapshots = sum(s.written for s in world.snapshots)
    events = [show(e) for e in world.scheduler.events] if found else []
    orders = sum(len(c.sent) for c in world.clients)
    return Outcome(seed, found, world.kills, deaths, orders, snapshots, events)


def show(event: tuple[Any, ...]) -> str:
    now_ns, *what = event
    return f"{now_ns / 1e6 - 1e6:10.3f} ms  {' '.join(map(str, what))}"


@contextmanager
def outcomes(seeds: range, jobs: int) -> Iterator[Iterator[Outcome]]:
    """Run seeds in jobs processes; outcomes come as they are ready."""
    if jobs == 1 or len(seeds) == 1:
        yield map(judge, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield pool.imap_unordered(judge, seeds, chunksize=4)
