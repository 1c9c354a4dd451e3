"""Starts the client processes of one run against one target, and puts their answers together."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rtes.client.testing import Mesh
from rtes.common.config import Config
from rtes.common.refdata import load_instruments
from rtes.control.setup import DEMO_COUNT

TICK_US: Final = 10_000
AHEAD_PER_S: Final = 150_000  # requests that a flooding client has ready
IDLE_S: Final = 0.25  # what is idle is so for as long as this
IDLE_SHARE: Final = 0.1  # of a core, all processes of a target together
SETTLED_AFTER_S: Final = 60.0  # at most
PARTICIPANTS: Final = [f"DEMO{i + 1}" for i in range(DEMO_COUNT)]


@dataclass(frozen=True, eq=False)
class Target:
    """Something to load. keys: of one account each; symbols with the price around which to trade,
    none for the null mesh; config: of an exchange."""

    name: str
    endpoint: str
    keys: list[str]
    processes: dict[str, subprocess.Popen[bytes]]
    symbols: list[tuple[str, int]]
    config: Config | None = None


def target_of(name: str, mesh: Mesh) -> Target:
    """An exchange, with the accounts that every exchange is set up with."""
    instruments = load_instruments(mesh.config.exchange.instruments).instruments
    return Target(
        name,
        mesh.config.exchange.orders_endpoint,
        [str(mesh.paths.key_file(account)) for account in PARTICIPANTS],
        mesh.processes,
        [(i.symbol, i.reference_price) for i in instruments if i.min_price_increment == 1],
        mesh.config,
    )


def drive(
    target: Target, clients: int, per_frame: int, seconds: float, seed: int, per_s: float = 0.0
) -> list[dict[str, Any]]:
    """What each client measured. per_s: of all clients together; 0: as fast as it goes.

    At a fixed rate one process holds all connections, so that waking clients takes as little as
    it can of the cores that the target runs on."""
    specs = [
        {
            "null": not target.symbols,
            "endpoint": target.endpoint,
            "key": target.keys[i],
            "symbols": target.symbols,
            "seed": seed * 100 + i,
            "seconds": seconds,
            "per_frame": per_frame,
            "per_s": per_s / clients,
            "ahead": int((seconds + 0.5) * AHEAD_PER_S),
        }
        for i in range(clients)
    ]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "rtes.benchmarks.load", json.dumps(together)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for together in ([specs] if per_s else [[spec] for spec in specs])
    ]
    with contextlib.ExitStack() as stack:
        for process in started:
            stack.enter_context(process)
            stack.callback(process.kill)  # one that waits for a word that never comes
        for process in started:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise SystemExit(f"{target.name}: a client could not begin")
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        found = [json.loads(p.communicate(timeout=seconds + 60)[0]) for p in started]
    return [result for results in found for result in results]


def cpu_us(target: Target) -> dict[str, float]:
    """CPU time of each process so far."""
    used = {}
    for name, process in target.processes.items():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        used[name] = (int(fields[11]) + int(fields[12])) * float(TICK_US)
    return used


def settle(targets: Iterable[Target]) -> None:
    """Wait until no target has work left of an earlier run: market data falls behind and goes on.

    Raises SystemExit when one never rests."""
    for target in targets:
        until = time.monotonic() + SETTLED_AFTER_S
        used = sum(cpu_us(target).values())
        while True:
            time.sleep(IDLE_S)
            before, used = used, sum(cpu_us(target).values())
            if used - before <= IDLE_SHARE * IDLE_S * 1e6:
                break
            if time.monotonic() > until:
                raise SystemExit(f"{target.name}: still busy {SETTLED_AFTER_S:.0f} s after a run")


@contextlib.contextmanager
def alone(target: Target, targets: Iterable[Target]) -> Iterator[None]:
    """Once all have settled, nothing of the others runs meanwhile, not even their timers."""
    targets = list(targets)
    settle(targets)
    others = [p for other in targets if other is not target for p in other.processes.values()]
    for process in others:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in others:
            process.send_signal(signal.SIGCONT)


def percentiles(results: list[dict[str, Any]]) -> dict[str, float]:
    """p50, p99, p99.9 and max over all clients, exact; by stage where times are known."""
    found = {}
    for key, prefix in (("total_us", ""), ("to_match_us", "to_match_"),
                        ("to_client_us", "to_client_")):  # fmt: skip
        values = sorted(v for result in results for v in result[key])
        if not values:
            continue
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)):
            found[f"{prefix}{name}_us"] = values[min(len(values) - 1, int(share * len(values)))]
    found["samples"] = sum(len(result["total_us"]) for result in results)
    found["unanswered"] = sum(result["unanswered"] for result in results)
    found["load_late_us"] = max(result["late_us"] for result in results)
    return found
