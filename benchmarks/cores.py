"""CPU time per order of the three cores on an order's path, in one process, without sockets.

    python -m benchmarks.cores [--requests N] [--per-frame N] [--profile CORE] [--json]
    python -m benchmarks.cores --instructions [--requests N] [--per-frame N] [--json]

The cores exchange the frames that the services do: participants' frames in, the matcher's feed
back through risk and the gateway; of the requests some cross, replace, or are refused. CPU time is
worse on a busy machine (cold caches); --instructions are the same. Not counted: sockets, journal.
"""

import cProfile
import gc
import pstats
import random
import time
from collections import deque
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any, Final

import click
from rich.table import Table
from rtes.benchmarks import instructions
from rtes.benchmarks.harness import environment, interleaved, median, show
from rtes.common.messages import encode
from rtes.common.refdata import Account, Instrument, Limits
from rtes.services.gateway import core as gateway
from rtes.services.gateway.door import account_finder
from rtes.services.gateway.limits import GatewayLimits
from rtes.services.matcher import core as matcher
from rtes.services.matcher.engine import Engine
from rtes.services.risk import core as risk
from rtes.services.risk.rules import Risk

ACCOUNTS: Final = 4
BATCH: Final = 128  # requests that a core finds when it looks, about as in a mesh under load
OPEN_MAX: Final = 200  # of one account
PRICE: Final = 10_000
FAR_MIN: Final = 100  # ticks
FAR_SPREAD: Final = 800
START_NS: Final = 1_700_000_000_000_000_000
STEP_NS: Final = 1_000_000  # between two batches
SYMBOLS: Final = tuple(f"SYM{i}" for i in range(8))
CORES: Final = ("gateway", "risk", "matcher")
TIMED: Final = 100_000  # requests
COUNTED: Final = 5_000  # fifty times as slow


class Trader:
    """Requests of one account, a function of the seed: 45 % cancels, 8 % replaces, of the
    orders one in ten crosses; 2 % of all are beyond the price band, 2 % cancel what never was."""

    def __init__(
        self, seed: int, symbols: Sequence[str] = SYMBOLS, open_max: int = OPEN_MAX
    ) -> None:
        self._roll = random.Random(seed).random
        self._symbols = symbols
        self._open_max = open_max
        self._last_id = 0
        self._open: deque[tuple[int, str]] = deque()

    def request(self) -> tuple[Any, ...]:
        self._last_id += 1
        roll = self._roll()
        if roll < 0.02:
            return ("F", self._last_id, self._symbols[0], self._last_id + 1_000_000)
        if roll < 0.04:
            return self._order(self._symbols[0], 2 * PRICE)
        if self._open and (roll < 0.47 or len(self._open) >= self._open_max):
            orig, symbol = self._open.popleft()
            return ("F", self._last_id, symbol, orig)
        if self._open and roll < 0.55:
            orig, symbol = self._open.popleft()
            self._open.append((self._last_id, symbol))
            return ("G", self._last_id, symbol, orig, 1 + int(self._roll() * 9), PRICE)
        return self._rest(0)

    def resting(self) -> tuple[Any, ...]:
        """An order that stands so far from the others that it trades with none of them."""
        self._last_id += 1
        return self._rest(FAR_MIN + int(self._roll() * FAR_SPREAD))

    def _rest(self, far: int) -> tuple[Any, ...]:
        symbol = self._symbols[int(self._roll() * len(self._symbols))]
        self._open.append((self._last_id, symbol))
        return self._order(symbol, 0, far)

    def _order(self, symbol: str, price: int, far: int = 0) -> tuple[Any, ...]:
        buy = self._roll() < 0.5
        distance = far + int(self._roll() * 20) - 2
        price = price or (PRICE - distance if buy else PRICE + distance)
        qty = 1 + int(self._roll() * 9)
        return ("D", self._last_id, symbol, "1" if buy else "2", qty, "2", price)


class Chain:
    """Gateway, risk and matcher; spent counts the CPU time of each in ns."""

    def __init__(
        self, seed: int, symbols: Sequence[str] = SYMBOLS, accounts_known: int = ACCOUNTS,
        sessions: int = ACCOUNTS, open_max: int = OPEN_MAX, shards: int = 1,
    ) -> None:  # fmt: skip
        """open_max: of one session; shards: of risk, and as many of the matcher."""
        instruments = [
            Instrument(symbol=s, reference_price=PRICE, shard=i % shards)
            for i, s in enumerate(symbols)
        ]
        limits = Limits(orders_per_s_max=10**9, position_max=10**12, open_orders_max=10**9)
        accounts = [
            Account(id=i, name=f"ACCOUNT{i}", limits=limits) for i in range(1, accounts_known + 1)
        ]
        find = {a.name: a for a in accounts}.get
        finder = account_finder(find, check_keys=False)
        allowed = GatewayLimits(sessions, 10_000, 10**9)
        self._gateway = gateway.GatewayCore(
            0, 1, instruments, find, finder, allowed, shards, shards
        )
        self._risks = [
            risk.RiskCore(r, 1, Risk(instruments, accounts, r, shards), range(shards))
            for r in range(shards)
        ]
        own = [[i for i in instruments if i.shard == m] for m in range(shards)]
        self._matchers = [matcher.MatcherCore(m, 1, Engine(m, own[m])) for m in range(shards)]
        self._now_ns = START_NS
        self.spent = dict.fromkeys(CORES, 0)
        self.told_bytes = 0
        # by core, its shard and channel
        self._waiting: dict[tuple[str, int, int], list[bytes]] = {}
        self._profile: cProfile.Profile | None = None
        self._profiled = ""
        self._traders = {
            a.name.encode(): Trader(seed * 100 + a.id, symbols, open_max)
            for a in accounts[:sessions]
        }
        self._turns = cycle(self._traders.items())
        for _ in range(3):  # everyone hears of everyone
            self._now_ns += 250 * STEP_NS
            everyone: list[Any] = [self._gateway, *self._risks, *self._matchers]
            for core in everyone:
                core.tick(self._now_ns)
            self.round([])
        self.round([(name, "", encode(["A", name.decode()])) for name in self._traders])

    @property
    def cores(self) -> tuple[gateway.GatewayCore, risk.RiskCore, matcher.MatcherCore]:
        """In the order of CORES; of the first shard."""
        return self._gateway, self._risks[0], self._matchers[0]

    def watch(self, core: str) -> cProfile.Profile:
        """Profile one of the cores from now on."""
        self._profile, self._profiled = cProfile.Profile(), core
        return self._profile

    def frames(self, per_frame: int) -> list[tuple[bytes, str, bytes]]:
        """One batch of requests."""
        found = []
        for name, trader in islice(self._turns, BATCH // per_frame):
            requests = [trader.request() for _ in range(per_frame)]
            found.append((name, "", encode(requests if per_frame > 1 else requests[0])))
        return found

    def rest(self, orders: int) -> None:
        """Fill the books with so many orders, of all sessions."""
        for at in range(0, orders, BATCH):
            turns = islice(self._turns, min(BATCH, orders - at))
            self.round([(name, "", encode(trader.resting())) for name, trader in turns])

    def open_orders(self) -> int:
        return sum(int(m.vitals().gauges["rtes_open_orders"]) for m in self._matchers)

    def round(self, frames: list[tuple[bytes, str, bytes]]) -> None:
        """One batch all the way, and back."""
        self._now_ns += STEP_NS
        risks, matchers = list(enumerate(self._risks)), list(enumerate(self._matchers))
        self._run("gateway", 0, self._gateway, {gateway.CLIENTS: frames})
        for r, core in risks:
            commands = self._sent("gateway", 0, gateway.RISK + r)
            self._run("risk", r, core, {risk.COMMANDS: commands})
        for m, sequencer in matchers:
            groups = [group for r, _ in risks for group in self._sent("risk", r, risk.MATCHER + m)]
            self._run("matcher", m, sequencer, {matcher.COMMANDS: groups})
            sequencer.pending = None  # the journal has it
        feed = [frame for m, _ in matchers for frame in self._sent("matcher", m, matcher.FEED)]
        for r, core in risks:
            self._run("risk", r, core, {risk.FEED: feed})
        statuses = [frame for r, _ in risks for frame in self._sent("risk", r, risk.STATUS)]
        self._run("gateway", 0, self._gateway, {gateway.RISK_STATUS: statuses, gateway.FEED: feed})
        self.told_bytes += sum(map(len, self._sent("gateway", 0, gateway.CLIENTS)))

    def _sent(self, name: str, shard: int, channel: int) -> list[bytes]:
        """What a core has sent on a channel."""
        return self._waiting.pop((name, shard, channel), [])

    def _run(self, name: str, shard: int, core: Any, channels: dict[int, list[Any]]) -> None:
        """One batch of a core."""
        now_ns, spent = self._now_ns, time.thread_time_ns
        profiled = self._profile if name == self._profiled else None
        if profiled is not None:
            profiled.enable()
        start = spent()
        for channel, frames in channels.items():
            if frames:
                core.receive(channel, frames, now_ns, now_ns)
        core.flush(now_ns, now_ns)
        self.spent[name] += spent() - start
        if profiled is not None:
            profiled.disable()
        sent, core.outbox = core.outbox, []
        for channel, _, frame in sent:
            self._waiting.setdefault((name, shard, channel), []).append(frame)


def measure(per_frame: int, requests: int, seed: int, profile: str = "") -> dict[str, float]:
    """CPU us per request by core."""
    return spend(Chain(seed), per_frame, requests, profile)


def spend(chain: Chain, per_frame: int, requests: int, profile: str = "") -> dict[str, float]:
    """CPU us per request by core, of a chain that may hold orders already."""
    for _ in range(20):
        chain.round(chain.frames(per_frame))
    gc.collect()
    gc.freeze()
    gc.disable()
    watched = chain.watch(profile) if profile else None
    chain.spent, chain.told_bytes = dict.fromkeys(CORES, 0), 0
    rounds = requests // BATCH
    for _ in range(rounds):
        chain.round(chain.frames(per_frame))
    gc.enable()
    gc.unfreeze()
    if watched is not None:
        pstats.Stats(watched).sort_stats("tottime").print_stats(25)
    us = {core: ns / 1e3 / (rounds * BATCH) for core, ns in chain.spent.items()}
    return us | {"sum": sum(us.values()), "told_bytes": chain.told_bytes / (rounds * BATCH)}


@click.command(help=__doc__)
@click.option("--requests", type=int, help=f"[default: {TIMED:,}; {COUNTED:,} to count]")
@click.option("--per-frame", "sizes", type=int, multiple=True, default=(1, 16), show_default=True)
@click.option("--repetitions", type=int, default=3, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--profile", type=click.Choice(CORES), help="only this core, where its time goes")
@click.option("--instructions", "counting", is_flag=True, help="count them, with valgrind")
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(
    requests: int | None, sizes: tuple[int, ...], repetitions: int, seed: int, profile: str | None,
    counting: bool, as_json: bool,
) -> None:  # fmt: skip
    if profile:
        measure(sizes[-1], requests or TIMED, seed, profile)
    elif counting:
        count(requests or COUNTED, sizes, seed, as_json)
    else:
        spend_time(requests or TIMED, sizes, repetitions, seed, as_json)


def count(requests: int, sizes: Sequence[int], seed: int, as_json: bool) -> None:
    """Show what callgrind counts, once: it is the same every time."""
    if why := instructions.missing():
        raise click.ClickException(why)
    runs = [(per_frame, core) for per_frame in sizes for core in CORES]

    def run(cell: tuple[int, str], _r: int) -> int:
        return round(instructions.count(cell[1], cell[0], requests, seed))

    found = interleaved(runs, 1, run)
    table = Table("orders a frame", *CORES, "sum", title="instructions per order")
    cells = []
    for per_frame in sizes:
        cell = {core: found[per_frame, core][0] for core in CORES}
        cell["sum"] = sum(cell.values())
        cells.append({"orders_per_frame": per_frame, "instructions_per_order": cell})
        table.add_row(str(per_frame), *(f"{n:,}" for n in cell.values()))
    show({"cells": cells, "environment": environment()}, as_json, table)


def spend_time(
    requests: int, sizes: Sequence[int], repetitions: int, seed: int, as_json: bool
) -> None:
    """Show the medians of what the cores take."""

    def run(per_frame: int, r: int) -> dict[str, float]:
        return measure(per_frame, requests, seed + r)

    found = interleaved(sizes, repetitions, run)
    table = Table("orders a frame", *CORES, "sum", title="CPU us per order")
    cells = []
    for per_frame in sizes:
        cell = {k: median((x[k] for x in found[per_frame]), 2) for k in found[per_frame][0]}
        cells.append({"orders_per_frame": per_frame, "cpu_us_per_order": cell})
        table.add_row(str(per_frame), *(f"{cell[k]:.2f}" for k in (*CORES, "sum")))
    where = environment()
    result = {"cpu_us_per_order": cells[-1]["cpu_us_per_order"], "cells": cells}
    result |= {"compiled": where["compiled"], "environment": where}
    show(result, as_json, table)


if __name__ == "__main__":
    main()
