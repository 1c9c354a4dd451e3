"""What goes wrong in a seed, drawn from the seed: every seed has its own mixture (swarm testing).

Probabilities are shares of what they name, times are means. Nothing is on in a `Faults()`.
"""

import random
from dataclasses import dataclass


@dataclass
class Faults:
    """The liveness phase turns all of it off."""

    drop: float = 0.0
    duplicate: float = 0.0
    interval_ms: int = 0  # between two faults of a process; 0: none
    pause: float = 0.0  # share of these that are SIGSTOP and SIGCONT; the others are kills
    inside: float = 0.0  # share of kills that hit inside a batch: unsynced, unsent, half sent
    power_loss: float = 0.0  # share of a matcher's kills that lose what was not synced
    long_death: float = 0.0  # share of kills after which the process is away for long
    clock_jump: float = 0.0  # at each fault: the wall clock jumps, by seconds or hours
    link: float = 0.0  # at each fault: one connection is cut, or slow, for a while
    disk_full: float = 0.0  # at each fault: a journal takes nothing for a while
    leave: float = 0.0  # at each of a participant's turns: its connection is gone
    snapshots: bool = False  # taken now and then, and what starts starts from the newest
    patient: bool = False  # participants ask once, their gateways are spared: all must be answered


def faults_of(seed: int) -> Faults:
    """The swarm's choice for a seed."""
    r = random.Random(seed * 7_919)
    return Faults(
        drop=r.choice([0.0, 0.0, 0.01, 0.05, 0.3]),
        duplicate=r.choice([0.0, 0.0, 0.05, 0.3]),
        interval_ms=r.choice([15, 30, 60, 120]),
        pause=r.choice([0.0, 0.1, 0.3]),
        inside=r.choice([0.0, 0.3, 0.8]),
        power_loss=r.choice([0.0, 0.5, 1.0]),
        long_death=r.choice([0.0, 0.0, 0.1]),
        clock_jump=r.choice([0.0, 0.0, 0.2]),
        link=r.choice([0.0, 0.0, 0.2]),
        disk_full=r.choice([0.0, 0.0, 0.1]),
        leave=r.choice([0.0, 0.01]),
        patient=r.random() < 0.25,
        snapshots=r.random() < 0.4,
    )
