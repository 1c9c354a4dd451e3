"""A whole exchange in one thread: two gateways, risk, matcher, archive, and participants.

A safety phase with faults, then a liveness phase without, in which every request must be
answered. `python -m tests.simulation --seeds N --start S` runs many; one seed, one trace.
"""

import hashlib
from dataclasses import replace

from rtes.common.loop import Loop
from rtes.common.records import Block, decode_block
from rtes.common.refdata import Account, Instrument, Limits
from rtes.services.archive import core as archive
from rtes.services.gateway import core as gateway
from rtes.services.gateway.limits import GatewayLimits
from rtes.services.matcher import core as matcher
from rtes.services.matcher.engine import Engine
from rtes.services.matcher.recovery import recover
from rtes.services.risk import core as risk
from rtes.services.risk.rules import Risk

from tests.simulation import client as participant
from tests.simulation.disk import FakeJournal
from tests.simulation.network import MS, Faults, Network, Node, Scheduler

TICK = 50 * MS
LIMITS = Limits(position_max=60, open_orders_max=40, credit_max=10**7)


class World:
    """One simulated exchange; `switches` names defences that are turned off."""

    def __init__(self, seed: int, faults: Faults, clients: int = 4, requests: int = 40) -> None:
        self.scheduler = Scheduler(seed)
        self.random = self.scheduler.random
        self.faults = replace(faults)  # the liveness phase turns them off
        self.network = Network(self.scheduler, self.faults)
        self.journal = FakeJournal(durable=True)
        self.kills = 0
        self.trace = hashlib.blake2b(digest_size=16)
        self.instruments = [
            Instrument(symbol=s, reference_price=1_000) for s in ("AAPL", "MSFT")
        ]
        self.accounts = [
            Account(id=i + 1, name=f"C{i}", limits=LIMITS) for i in range(clients)
        ]
        self.services = ["matcher", "archive", "risk", "gateway0", "gateway1"]
        self._epochs = dict.fromkeys(self.services, 0)
        for name in self.services:
            self.network.node(name)
        self._wire()
        self.clients = [self._client(a.name, i % 2, requests) for i, a in enumerate(self.accounts)]
        for name in self.services:
            self.start(name)

    def _wire(self) -> None:
        net = self.network
        for follower, channel in (("risk", risk.FEED), ("archive", archive.FEED)):
            net.connect("matcher", matcher.FEED, follower, channel)
        net.connect("risk", risk.MATCHER, "matcher", matcher.COMMANDS)
        net.connect("risk", risk.REPLAY, "archive", archive.REQUESTS, router=True)
        for name in ("gateway0", "gateway1"):
            net.connect("matcher", matcher.FEED, name, gateway.FEED)
            net.connect("risk", risk.STATUS, name, gateway.RISK_STATUS)
            net.connect(name, gateway.RISK, "risk", risk.COMMANDS)
            net.connect(name, gateway.ARCHIVE, "archive", archive.REQUESTS, router=True)

    def _client(self, name: str, at: int, requests: int) -> participant.SimClient:
        node = self.network.node(name)
        self.network.connect(name, participant.CHANNEL, f"gateway{at}", gateway.CLIENTS, True)
        client = participant.SimClient(node, self.scheduler, name, requests)
        client.start()
        return client

    # ------------------------------------------------------------ processes

    def start(self, name: str) -> None:
        """A process starts: a new core, empty sockets, a higher epoch."""
        node = self.network.nodes[name]
        node.alive, node.paused = True, False
        node.inbox.clear()
        self._epochs[name] += 1
        loop = self._loop(name, node, self._epochs[name])
        node.step = lambda: loop.step(0)
        self._tick(node, node.generation)

    def _tick(self, node: Node, generation: int) -> None:
        if node.generation == generation and node.alive:
            if not node.paused and node.step is not None:
                node.step()
            self.scheduler.after(TICK, lambda: self._tick(node, generation))

    def _loop(self, name: str, node: Node, epoch: int) -> Loop:
        clock = self.scheduler
        if name == "matcher":
            engine = Engine(0, self.instruments, 0, {a.name: a.id for a in self.accounts})
            core = matcher.MatcherCore(0, epoch, engine)
            recover(core, self.journal.recover())
            return Loop(core, node, clock, name, commit=lambda: self._commit(core, epoch))
        if name == "risk":
            rules = Risk(self.instruments, self.accounts)
            return Loop(risk.RiskCore(0, epoch, rules, [0]), node, clock, name)
        if name == "archive":
            return Loop(archive.ArchiveCore(0, self.journal.blocks_from), node, clock, name)
        by_name = {a.name: a for a in self.accounts}
        front = gateway.GatewayCore(
            int(name[-1]), epoch, self.instruments, self.accounts,
            lambda _user, account: by_name.get(account),
            GatewayLimits(64, 100, 10_000, lane_window=200),
        )  # fmt: skip
        return Loop(front, node, clock, name, undelivered=front.undelivered)

    def _commit(self, core: matcher.MatcherCore, epoch: int) -> None:
        if core.pending is not None:
            self.journal.append(epoch, *core.pending)
            self.trace.update(core.pending[2])
            core.pending = None
        self.journal.sync()

    def kill(self, name: str, power_loss: bool = False) -> None:
        """SIGKILL: the process and all that its sockets held are gone; it comes back later."""
        node = self.network.nodes[name]
        if not node.alive:
            return
        node.alive = False
        node.generation += 1
        self.kills += 1
        if power_loss and name == "matcher":
            self.journal.crash(self.random)
        self.scheduler.after(int(self.random.uniform(1, 60) * MS), lambda: self.start(name))

    def pause(self, name: str) -> None:
        """SIGSTOP, and SIGCONT a while later."""
        node = self.network.nodes[name]
        generation = node.generation
        node.paused = True

        def resume() -> None:
            if node.generation == generation:
                node.paused = False
                if node.step is not None:
                    node.step()

        self.scheduler.after(int(self.random.uniform(1, 300) * MS), resume)

    # ------------------------------------------------------------ phases

    def run(self, safety_ms: int = 1_500, liveness_ms: int = 4_000) -> None:
        """Faults first; then none, and everything must be answered."""
        if self.faults.kill_interval_ms:
            self._plan_fault()
        self.scheduler.run(safety_ms * MS)
        self.faults.kill_interval_ms = 0
        self.faults.drop = self.faults.duplicate = 0.0
        self.scheduler.run(liveness_ms * MS, done=lambda: all(c.done for c in self.clients))

    def _plan_fault(self) -> None:
        delay = self.random.expovariate(1 / self.faults.kill_interval_ms)
        self.scheduler.after(int(delay * MS), self._fault)

    def _fault(self) -> None:
        if not self.faults.kill_interval_ms:
            return
        name = self.random.choice(self.services)
        if self.random.random() < self.faults.pause:
            self.pause(name)
        else:
            self.kill(name, power_loss=self.random.random() < self.faults.power_loss)
        self._plan_fault()

    def blocks(self) -> list[Block]:
        """The journal's blocks, decoded."""
        return [decode_block(b[3]) for b in self.journal.blocks_from(1)]
