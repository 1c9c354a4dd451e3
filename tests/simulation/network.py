"""The fake world under the real loop: one clock, one heap of events, lossy FIFO connections.

Everything random comes from one seeded generator; nothing iterates over a set; so one seed gives
one trace, on any machine.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MS = 1_000_000


@dataclass
class Faults:
    """What goes wrong, drawn from the seed."""

    drop: float = 0.0
    duplicate: float = 0.0
    kill_interval_ms: int = 0  # mean time between kills of any service; 0: none
    power_loss: float = 0.0  # share of the matcher's kills that lose what was not synced
    pause: float = 0.0  # share of kills that are pauses instead


class Scheduler:
    """Time and what happens at it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now_ns = 1_700_000_000_000_000_000
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._tie = 0

    def after(self, delay_ns: int, call: Callable[[], None]) -> None:
        self._tie += 1
        heapq.heappush(self._heap, (self.now_ns + delay_ns, self._tie, call))

    def run(self, duration_ns: int, done: Callable[[], bool] = lambda: False) -> None:
        end = self.now_ns + duration_ns
        while self._heap and self._heap[0][0] <= end and not done():
            at, _, call = heapq.heappop(self._heap)
            self.now_ns = max(self.now_ns, at)
            call()

    # the loop's clock
    def wall_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns


@dataclass
class Node:
    """A process: its ports, whether it lives, and what it runs."""

    name: str
    network: "Network"
    alive: bool = True
    paused: bool = False
    generation: int = 0
    step: Callable[[], None] | None = None
    inbox: dict[int, deque[Any]] = field(default_factory=dict)

    # the loop's ports
    def wait(self, _timeout_ms: int) -> list[int]:
        return [channel for channel, frames in self.inbox.items() if frames]

    def receive(self, channel: int) -> list[Any]:
        frames = self.inbox[channel]
        return [frames.popleft() for _ in range(min(len(frames), 16))]

    def send(self, channel: int, routing_id: bytes | None, frame: bytes) -> bool:
        return self.network.transmit(self, channel, routing_id, frame)


class Network:
    """Connections between nodes; frames of one connection never overtake each other."""

    def __init__(self, scheduler: Scheduler, faults: Faults) -> None:
        self.scheduler = scheduler
        self.faults = faults
        self.nodes: dict[str, Node] = {}
        self._routes: dict[tuple[str, int], list[tuple[str, int, bool]]] = {}
        self._arrival_ns: dict[tuple[str, str, int], int] = {}

    def node(self, name: str) -> Node:
        self.nodes[name] = Node(name, self)
        return self.nodes[name]

    def connect(
        self, source: str, channel: int, target: str, target_channel: int, router: bool = False
    ) -> None:
        """What source sends on channel arrives at target; a router gets the sender's name too."""
        self._routes.setdefault((source, channel), []).append((target, target_channel, router))

    def transmit(self, node: Node, channel: int, routing_id: bytes | None, frame: bytes) -> bool:
        if routing_id is not None:  # a router answers by name: "name/channel"
            name, _, back = routing_id.decode().partition("/")
            self._deliver(node, name, int(back), frame)
            return True
        for target, target_channel, router in self._routes.get((node.name, channel), []):
            data: Any = frame
            if router:
                data = (f"{node.name}/{channel}".encode(), node.name, frame)
            self._deliver(node, target, target_channel, data)
        return True

    def _deliver(self, source: Node, target: str, channel: int, data: Any) -> None:
        roll = self.scheduler.random.random
        copies = 1 if roll() >= self.faults.duplicate else 2
        if roll() < self.faults.drop:
            copies = 0
        key = (source.name, target, channel)
        generation = self.nodes[target].generation
        sent_by = source.generation
        lost_if_killed = roll() < 0.5  # what a dead process had sent may be lost with it
        for _ in range(copies):
            delay = int((0.05 + 0.3 * roll()) * MS)
            at = max(self.scheduler.now_ns + delay, self._arrival_ns.get(key, 0) + 1)
            self._arrival_ns[key] = at
            self.scheduler.after(
                at - self.scheduler.now_ns,
                lambda: self._arrive(target, generation, channel, data)
                if source.generation == sent_by or not lost_if_killed
                else None,
            )

    def _arrive(self, target: str, generation: int, channel: int, data: Any) -> None:
        node = self.nodes[target]
        if not node.alive or node.generation != generation:
            return  # the process it was for is dead, and what its sockets held with it
        node.inbox.setdefault(channel, deque()).append(data)
        if node.step is not None and not node.paused:
            node.step()
