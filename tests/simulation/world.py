"""A whole exchange in one thread: gateways, risk and matcher shards, archives, participants.

A safety phase with faults, then a liveness phase without, in which every request must be
answered, then goodbyes. One seed, one trace. `violations` (checker.py) judges the end.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rtes.common.feed import TOPIC_STATUS
from rtes.common.journal import BEGINNING
from rtes.common.loop import Loop
from rtes.common.records import Block, decode, decode_block
from rtes.common.refdata import Account, Instrument, Limits
from rtes.common.snapshots import ENGINE, PARTS, RISK
from rtes.services.archive import core as archive
from rtes.services.gateway import core as gateway
from rtes.services.gateway.limits import GatewayLimits
from rtes.services.marketdata.core import MarketDataCore
from rtes.services.matcher import core as matcher
from rtes.services.matcher.engine import Engine
from rtes.services.matcher.recovery import recover, restore
from rtes.services.risk import core as risk
from rtes.services.risk.rules import Risk
from rtes.services.snapshotter import core as snapshotter
from rtes.services.snapshotter import shell as snapshotter_shell

from tests.simulation.client import SimClient
from tests.simulation.disk import FakeJournal
from tests.simulation.faults import Faults
from tests.simulation.network import MS, Killed, Network, Node, Scheduler
from tests.simulation.snapshots import FakeSnapshots

TICK = 50 * MS
SNAPSHOT_COMMANDS = 10
LIMITS = Limits(position_max=12, open_orders_max=6)
SECOND = 1_000 * MS


@dataclass(frozen=True)
class Size:
    """How large the exchange is, and how much is asked of it."""

    gateways: int = 2
    risks: int = 2
    matchers: int = 2
    clients: int = 4
    requests: int = 40


def size_of(seed: int) -> Size:
    """The swarm's choice for a seed: mostly two of each."""
    r = random.Random(seed * 104_729)
    return Size(
        gateways=r.choice([2, 2, 3]),
        risks=r.choice([1, 2, 2, 2, 3]),
        matchers=r.choice([1, 2, 2, 2, 3]),
        clients=r.choice([3, 4, 5, 6]),
        requests=r.choice([30, 50, 80]),
    )


class World:
    """One simulated exchange."""

    def __init__(self, seed: int, faults: Faults, size: Size = Size()) -> None:
        self.seed = seed
        self.size = size
        self.scheduler = Scheduler(seed)
        self.random = self.scheduler.random
        self.patient = faults.patient
        self.faults = replace(faults)  # the liveness phase turns them off
        self.network = Network(self.scheduler, self.faults)
        self.journals = [FakeJournal(m) for m in range(size.matchers)]
        self.snapshots = [FakeSnapshots() for _ in self.journals]
        self.kills = 0
        self.deaths: dict[str, int] = {}  # kinds of death -> how many
        self.trace = hashlib.blake2b(digest_size=16)
        self.instruments = [
            Instrument(symbol=s, reference_price=1_000, shard=i % size.matchers)
            for i, s in enumerate(("AAPL", "MSFT", "NVDA"))
        ]
        self.accounts = [
            Account(id=i + 1, name=f"C{i}", limits=LIMITS) for i in range(size.clients)
        ]
        self.services = [
            f"{kind}{i}"
            for kind, count in (
                ("matcher", size.matchers), ("archive", size.matchers), ("risk", size.risks),
                ("gateway", size.gateways), ("snapshotter", size.matchers * faults.snapshots),
            )
            for i in range(count)
        ]  # fmt: skip
        self.engines: dict[int, Engine] = {}  # the living ones, by shard
        self.projections: dict[int, Risk] = {}
        self._epochs = dict.fromkeys(self.services, 0)
        self.dies_at: dict[str, str] = {}  # matcher -> "appended" | "synced": where, next batch
        self._targets = [
            s for s in self.services if not (faults.patient and s.startswith("gateway"))
        ]
        for name in self.services:
            self.network.node(name)
        self._wire()
        self.clients = [self._client(a.name) for a in self.accounts]
        for name in self.services:
            self.start(name)

    def _wire(self) -> None:
        connect, size = self.network.connect, self.size
        for m in range(size.matchers):
            connect(f"matcher{m}", matcher.FEED, f"archive{m}", archive.FEED)
            if self.faults.snapshots:
                to = f"snapshotter{m}"
                connect(f"matcher{m}", matcher.FEED, to, snapshotter.FEED, False, TOPIC_STATUS)
            for r in range(size.risks):
                connect(f"matcher{m}", matcher.FEED, f"risk{r}", risk.FEED)
                connect(f"risk{r}", risk.MATCHER + m, f"matcher{m}", matcher.COMMANDS)
                connect(f"risk{r}", risk.REPLAY + m, f"archive{m}", archive.REQUESTS, True)
            for g in range(size.gateways):
                connect(f"matcher{m}", matcher.FEED, f"gateway{g}", gateway.FEED)
                at = gateway.ARCHIVE + m
                connect(f"gateway{g}", at, f"archive{m}", archive.REQUESTS, True)
        for r in range(size.risks):
            for g in range(size.gateways):
                connect(f"risk{r}", risk.STATUS, f"gateway{g}", gateway.RISK_STATUS)
                connect(f"gateway{g}", gateway.RISK + r, f"risk{r}", risk.COMMANDS)

    def _client(self, name: str) -> SimClient:
        shard_of = {i.symbol: i.shard for i in self.instruments}
        client = SimClient(self.network, name, shard_of, self.size.requests, self.size.gateways)
        client.pace_ms = self.random.choice([3.0, 8.0, 14.0])
        client.start()
        return client

    # ------------------------------------------------------------ processes

    def start(self, name: str) -> None:
        """A process starts: a new core, empty sockets, a higher epoch."""
        node = self.network.nodes[name]
        node.alive, node.paused, node.due, node.dies_after = True, False, False, -1
        node.inbox.clear()
        self.dies_at.pop(name, None)
        self._epochs[name] += 1
        loop = self._loop(name, node, self._epochs[name])
        node.step = lambda: self._step(name, loop)
        self.scheduler.note(name, "starts, epoch", self._epochs[name])
        self._tick(node, node.generation)

    def _step(self, name: str, loop: Loop) -> None:
        try:
            loop.step(0)
        except Killed:
            self.deaths["inside"] = self.deaths.get("inside", 0) + 1
            self.kill(name)
        except OSError as error:  # the real one waits for space: that is less than to die
            self.scheduler.note(name, "stops:", str(error))
            self.deaths["disk full"] = self.deaths.get("disk full", 0) + 1
            self.kill(name)

    def _tick(self, node: Node, generation: int) -> None:
        if node.generation == generation and node.alive:
            if not node.paused and node.step is not None:
                node.step()
            self.scheduler.after(TICK, lambda: self._tick(node, generation))

    def _loop(self, name: str, node: Node, epoch: int) -> Loop:
        kind, number, size = name[:-1], int(name[-1]), self.size
        core: Any
        commit: Callable[[], None] | None = None
        if kind == "matcher":
            self.engines[number] = self.engine(number)
            core = matcher.MatcherCore(number, epoch, self.engines[number])
            self._recover(core, number)
            commit = lambda: self._commit(core, number, epoch)  # noqa: E731
        elif kind == "risk":
            rules = self.projections[number] = self.rules(number)
            core = self._risk(number, epoch, rules)
        elif kind == "snapshotter":
            core = self._snapshotter(number)
        elif kind == "archive":
            core = archive.ArchiveCore(number, self.journals[number].blocks_from)
        else:
            by_name = {a.name: a for a in self.accounts}
            core = gateway.GatewayCore(
                number, epoch, self.instruments, by_name.get,
                lambda _user, account: by_name.get(account),
                GatewayLimits(64, 100, 10_000, lane_window=200), size.risks, size.matchers,
            )  # fmt: skip
            core.take_over(planned=False, wall_ns=self.scheduler.wall_ns())
        undelivered = core.undelivered if kind == "gateway" else None
        return Loop(core, node, self.scheduler, kind, number, commit, undelivered)

    def engine(self, shard: int) -> Engine:
        """A new engine of a matcher shard."""
        listed = [i for i in self.instruments if i.shard == shard]
        return Engine(shard, listed)

    def rules(self, shard: int) -> Risk:
        """A new projection of a risk shard."""
        return Risk(self.instruments, self.accounts, shard, self.size.risks)

    def _recover(self, core: matcher.MatcherCore, shard: int) -> None:
        """Bring a matcher back from its disk."""
        after = BEGINNING
        for saved in self.snapshots[shard].newest(ENGINE) or ():
            restore(core, self.engines[shard], saved)
            after = saved.point
        recover(core, self.journals[shard].recover(after))

    def _risk(self, shard: int, epoch: int, rules: Risk) -> risk.RiskCore:
        core = risk.RiskCore(shard, epoch, rules, range(self.size.matchers))
        for m, snapshots in enumerate(self.snapshots):
            for saved in snapshots.newest(RISK) or ():
                rules.restore(decode(saved.state))
                core.resume(m, saved.point.seq)
        return core

    def _snapshotter(self, shard: int) -> snapshotter.SnapshotterCore:
        listed = [i for i in self.instruments if i.shard == shard]
        engine = self.engine(shard)
        projection = Risk(self.instruments, self.accounts)
        replicas = snapshotter.Replicas(engine, projection, MarketDataCore(engine, listed))
        core = snapshotter.SnapshotterCore(
            replicas, self.journals[shard].stored_from, self.snapshots[shard].write,
            SNAPSHOT_COMMANDS, SECOND,
        )  # fmt: skip
        saved = self.snapshots[shard].newest(*PARTS)
        if saved is not None:
            snapshotter_shell.restore(replicas, saved)
            core.resume(saved[0].point, saved[0].time_ns)
        return core

    def _commit(self, core: matcher.MatcherCore, shard: int, epoch: int) -> None:
        journal, dies_at = self.journals[shard], self.dies_at.get(f"matcher{shard}")
        if core.pending is not None:
            journal.append(epoch, *core.pending)
            self.trace.update(core.pending[2])
            self.scheduler.note(f"matcher{shard}", "appends", *core.pending[:2])
            core.pending = None
            if dies_at == "appended":
                raise Killed
        journal.sync()
        core.set_read_only(not journal.writable)
        if dies_at == "synced":
            raise Killed

    def kill(self, name: str) -> None:
        """SIGKILL: the process and all that its sockets held are gone; it comes back later."""
        node = self.network.nodes[name]
        if not node.alive:
            return
        node.alive = False
        node.generation += 1
        self.kills += 1
        roll = self.random.random
        power_loss = name.startswith("matcher") and roll() < self.faults.power_loss
        away_ms = 600 + 400 * roll() if roll() < self.faults.long_death else 1 + 60 * roll()
        if power_loss:  # at once, or when the process is long dead
            when_ms = away_ms * roll() * (roll() < 0.5)
            self.scheduler.after(int(when_ms * MS), lambda: self._power_loss(int(name[-1])))
        self.scheduler.note(name, "dies; power loss:", power_loss, "back in ms:", int(away_ms))
        self.scheduler.after(int(away_ms * MS), lambda: self.start(name))

    def _power_loss(self, shard: int) -> None:
        self.journals[shard].crash(self.random)
        self.deaths["power loss"] = self.deaths.get("power loss", 0) + 1
        self.scheduler.note(f"journal of {shard}: the power is lost")

    def kill_inside(self, name: str) -> None:
        """SIGKILL at one of the points where a batch is half done, at its next batch."""
        node, roll = self.network.nodes[name], self.random.random
        generation = node.generation
        if name.startswith("matcher") and roll() < 0.7:
            self.dies_at[name] = "appended" if roll() < 0.8 else "synced"
        else:
            node.dies_after = int(roll() * 6)

        def late() -> None:
            if node.generation == generation and self.faults.interval_ms:
                self.kill(name)

        self.scheduler.after(60 * MS, late)

    def pause(self, name: str) -> None:
        """SIGSTOP, and SIGCONT a while later."""
        node = self.network.nodes[name]
        generation = node.generation
        node.paused = True
        self.scheduler.note(name, "is paused")

        def resume() -> None:
            if node.generation == generation:
                node.paused = False
                self.scheduler.note(name, "goes on")
                node.wake()

        self.scheduler.after(int(self.random.uniform(1, 300) * MS), resume)

    # ------------------------------------------------------------ phases

    def run(self, safety_ms: int = 1_500, liveness_ms: int = 5_000) -> None:
        """Faults first; then none, and everything must be answered; then all leave."""
        if self.faults.interval_ms:
            self._plan_fault()
        self.scheduler.run(safety_ms * MS)
        self._heal()
        self.scheduler.run(liveness_ms * MS, self._done)
        self.finished = self._done()
        if self.finished:
            for client in self.clients:
                client.leave()
            self.scheduler.run(SECOND, lambda: all(c.gone for c in self.clients))
            self.scheduler.run(SECOND // 2)

    def _done(self) -> bool:
        nodes = self.network.nodes
        return all(c.done for c in self.clients) and all(nodes[s].alive for s in self.services)

    def _heal(self) -> None:
        for name, value in vars(Faults()).items():
            setattr(self.faults, name, value)
        self.network.slow.clear()
        self.dies_at.clear()
        for node in self.network.nodes.values():
            node.dies_after = -1
        for journal in self.journals:
            journal.writable = True

    def _plan_fault(self) -> None:
        delay = self.random.expovariate(1 / self.faults.interval_ms)
        self.scheduler.after(int(delay * MS), self._fault)

    def _fault(self) -> None:
        faults, roll = self.faults, self.random.random
        if not faults.interval_ms:
            return
        name = self.random.choice(self._targets)
        if roll() < faults.pause:
            self.pause(name)
        elif roll() < faults.inside:
            self.kill_inside(name)
        else:
            self.kill(name)
        if roll() < faults.clock_jump:
            self._jump()
        if roll() < faults.link:
            self._hurt_link()
        if roll() < faults.disk_full:
            self._fill_disk(self.random.choice(self.journals))
        self._plan_fault()

    def _jump(self) -> None:
        by_s = self.random.uniform(-1, 1) * self.random.choice([2, 10, 6 * 3_600])
        self.scheduler.wall_ahead_ns += int(by_s * SECOND)
        self.scheduler.note("the wall clock jumps by s:", round(by_s, 3))

    def _hurt_link(self) -> None:
        source, target = self.random.choice(self.network.connections)
        until_ns = self.scheduler.now_ns + int(self.random.uniform(10, 300) * MS)
        delay_ns = -1 if self.random.random() < 0.6 else int(self.random.uniform(5, 100) * MS)
        self.network.slow[source, target] = (until_ns, delay_ns)
        self.scheduler.note(source, "->", target, "cut" if delay_ns < 0 else "slow")

    def _fill_disk(self, journal: FakeJournal) -> None:
        journal.writable = False
        journal.reserve = self.random.choice([0, 1_000, 30_000])
        self.scheduler.note("a disk is full, bytes left of its segment:", journal.reserve)

        def free() -> None:
            journal.writable = True

        self.scheduler.after(int(self.random.uniform(5, 200) * MS), free)

    def blocks(self, shard: int) -> list[Block]:
        """A journal's blocks, decoded."""
        return [decode_block(b[3]) for b in self.journals[shard].blocks_from(1)]
