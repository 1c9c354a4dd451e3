"""The fake world under the real loop: one clock, one heap of events, lossy FIFO connections.

Everything random comes from one seeded generator; nothing iterates over a set; so one seed gives
one trace, on any machine. What a node receives within BATCH_NS it handles as one batch.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.faults import Faults

MS = 1_000_000
BATCH_NS = 100_000
EVENTS_KEPT = 200


class Scheduler:
    """Time, what happens at it, and what happened last. The wall clock may jump."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now_ns = 10**12
        self.wall_ahead_ns = 1_700_000_000 * 10**9
        self.events: deque[tuple[Any, ...]] = deque(maxlen=EVENTS_KEPT)
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._tie = 0

    def note(self, *what: Any) -> None:
        """Remember an event for who has to find out what went wrong."""
        self.events.append((self.now_ns, *what))

    def after(self, delay_ns: int, call: Callable[[], None]) -> None:
        self._tie += 1
        heapq.heappush(self._heap, (self.now_ns + delay_ns, self._tie, call))

    def run(self, duration_ns: int, done: Callable[[], bool] = lambda: False) -> None:
        end, heap, pop = self.now_ns + duration_ns, self._heap, heapq.heappop
        while heap and heap[0][0] <= end and not done():
            self.now_ns, _, call = pop(heap)
            call()

    # the loop's clock
    def wall_ns(self) -> int:
        return self.now_ns + self.wall_ahead_ns

    def monotonic_ns(self) -> int:
        return self.now_ns


class Killed(BaseException):
    """SIGKILL in the middle of a batch: nothing may catch it but who sent it."""


@dataclass
class Node:
    """A process: its ports, whether it lives, and what it runs."""

    name: str
    network: "Network"
    edge: bool = False  # a participant, not a service
    alive: bool = True
    paused: bool = False
    generation: int = 0
    step: Callable[[], None] | None = None
    inbox: dict[int, deque[Any]] = field(default_factory=dict)
    due: bool = False  # a step is scheduled
    dies_after: int = -1  # frames it still sends before it is killed; -1: lives on

    # the loop's ports
    def wait(self, _timeout_ms: int) -> list[int]:
        return [channel for channel, frames in self.inbox.items() if frames]

    def receive(self, channel: int) -> list[Any]:
        frames = self.inbox[channel]
        return [frames.popleft() for _ in range(min(len(frames), 16))]

    def send(self, channel: int, routing_id: bytes | None, frame: bytes) -> bool:
        if self.dies_after == 0:
            raise Killed
        if self.dies_after > 0:
            self.dies_after -= 1
        return self.network.transmit(self, channel, routing_id, frame)

    def wake(self) -> None:
        """Step soon: what arrives until then is in the same batch."""
        if not self.due and not self.paused and self.step is not None:
            self.due = True
            generation = self.generation
            self.network.scheduler.after(BATCH_NS, lambda: self._wakes(generation))

    def _wakes(self, generation: int) -> None:
        if self.generation != generation or not self.alive:
            return
        self.due = False
        if self.step is not None and not self.paused:
            self.step()
            if any(self.inbox.values()):
                self.wake()


class Network:
    """Connections between nodes; frames of one connection never overtake each other."""

    def __init__(self, scheduler: Scheduler, faults: Faults) -> None:
        self.scheduler = scheduler
        self.faults = faults
        self.nodes: dict[str, Node] = {}
        self.slow: dict[tuple[str, str], tuple[int, int]] = {}  # -> until_ns, delay_ns; -1: cut
        self._routes: dict[tuple[str, int], list[tuple[str, int, bytes | None, bytes]]] = {}
        self._arrival_ns: dict[tuple[str, str, int], int] = {}

    def node(self, name: str, edge: bool = False) -> Node:
        self.nodes[name] = Node(name, self, edge)
        return self.nodes[name]

    def connect(
        self,
        source: str,
        channel: int,
        target: str,
        target_channel: int,
        router: bool = False,
        topic: bytes = b"",
    ) -> None:
        """What source sends on channel and begins with topic arrives at target; a router gets
        the sender's name too."""
        back = f"{source}/{channel}".encode() if router else None
        route = (target, target_channel, back, topic)
        self._routes.setdefault((source, channel), []).append(route)

    def disconnect(self, source: str, channel: int) -> None:
        """The connection is gone: a router that answers on it is told so."""
        self._routes.pop((source, channel), None)
        self.nodes[source].inbox.pop(channel, None)

    @property
    def connections(self) -> list[tuple[str, str]]:
        """Pairs of nodes that may lose each other, in the direction in which frames go."""
        pairs = [(source, r[0]) for (source, _), rows in self._routes.items() for r in rows]
        if self.faults.patient:
            pairs = [p for p in pairs if not self.nodes[p[0]].edge]
        return pairs

    def transmit(self, node: Node, channel: int, routing_id: bytes | None, frame: bytes) -> bool:
        if routing_id is not None:  # a router answers by name: "name/channel"
            name, _, back = routing_id.decode().partition("/")
            if (name, int(back)) not in self._routes:
                return False
            self._deliver(node, name, int(back), frame)
            return True
        for target, target_channel, from_, topic in self._routes.get((node.name, channel), ()):
            if not frame.startswith(topic):
                continue
            data: Any = frame if from_ is None else (from_, node.name, frame)
            self._deliver(node, target, target_channel, data)
        return True

    def _deliver(self, source: Node, target: str, channel: int, data: Any) -> None:
        roll, now_ns = self.scheduler.random.random, self.scheduler.now_ns
        faults = self.faults
        spared = faults.patient and (source.edge or self.nodes[target].edge)
        copies = 2 if roll() < faults.duplicate and not spared else 1
        until_ns, more_ns = self.slow.get((source.name, target), (0, 0))
        if until_ns <= now_ns:
            more_ns = 0
        if (roll() < faults.drop and not spared) or more_ns < 0:
            return
        key = (source.name, target, channel)
        generation = self.nodes[target].generation
        sent_by = source.generation
        lost_if_killed = roll() < 0.5  # what a dead process had sent may be lost with it

        def arrive() -> None:
            if source.generation == sent_by or not lost_if_killed:
                self._arrive(target, generation, channel, data)

        for _ in range(copies):
            at = now_ns + int((0.05 + 0.3 * roll()) * MS) + more_ns
            at = self._arrival_ns[key] = max(at, self._arrival_ns.get(key, 0) + 1)
            self.scheduler.after(at - now_ns, arrive)

    def _arrive(self, target: str, generation: int, channel: int, data: Any) -> None:
        node = self.nodes[target]
        if not node.alive or node.generation != generation:
            return  # the process it was for is dead, and what its sockets held with it
        node.inbox.setdefault(channel, deque()).append(data)
        node.wake()
