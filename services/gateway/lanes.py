"""The gateway's lanes to risk: what is taken stays here until the matcher's feed has it.

A lane is the path through one risk shard to one matcher shard. Within it commands keep their
order, whatever is lost or restarted on the way.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rtes.common import link
from rtes.common.histogram import Histogram
from rtes.common.records import (
    C_CL_ORD_ID,
    CMD_DISCONNECT,
    Command,
    encode,
    gateway_of,
    lane_of,
    lane_payload,
    matcher_shard_of,
    risk_shard_of,
)
from rtes.services.gateway.breaker import Breaker, State


class Lane:
    """One lane: the batch being filled, and the link that holds what was sent."""

    __slots__ = (
        "acked", "batch", "breaker", "flows", "held", "risk_shard", "sender", "stamp_ns", "waiting",
    )  # fmt: skip

    def __init__(self, number: int, epoch: int) -> None:
        self.risk_shard = risk_shard_of(number)
        self.sender = link.Sender(number, epoch)
        self.batch: list[Command] = []
        self.stamp_ns: Any = 0  # received_ns of the batch's last command that has one
        self.held = 0  # commands that the matcher has not acknowledged
        self.acked = 0  # commands since the start
        self.breaker = Breaker()
        self.flows = True  # the breaker is closed
        # received_ns, 0 where no participant waits, and commands of each frame
        self.waiting: deque[tuple[int, int]] = deque()

    def stamp(self, wall_ns: Any) -> Any:
        """received_ns of a command that is put next."""
        if self.batch and wall_ns is self.stamp_ns:  # one object for all of a frame
            return 0  # as the one before
        self.stamp_ns = wall_ns
        return wall_ns

    def put(self, command: Command) -> None:
        """Take a command; it leaves with the next flush."""
        self.batch.append(command)
        self.held += 1

    def ack(self, epoch: int, link_no: int, n: int, now_ns: int, took: Histogram) -> None:
        """The matcher has everything up to n; took learns how long that was."""
        left = self.sender.weight
        self.sender.ack(epoch, link_no, n)
        left -= self.sender.weight
        self.held -= left
        self.acked += left
        while left > 0:
            received_ns, commands = self.waiting.popleft()
            if received_ns:
                took.observe(now_ns - received_ns, commands)
            left -= commands


def fullest(lanes: Sequence[Lane]) -> int:
    """Commands held by the one that holds most."""
    return max((lane.held for lane in lanes), default=0)


class Lanes:
    """All lanes of one gateway. Frames come out as (risk shard, frame)."""

    def __init__(self, gateway: int, epoch: int, risk_shards: int, matcher_shards: int) -> None:
        self._gateway = gateway
        self._risk_shards = risk_shards
        self._matcher_shards = matcher_shards
        numbers = [
            lane_of(gateway, r, s) for r in range(risk_shards) for s in range(matcher_shards)
        ]
        self._lanes = {number: Lane(number, epoch) for number in numbers}
        self.now_ns = 0  # when what is being handled was read from its socket
        self.took = Histogram()  # from then until the matcher's answer is here

    def of_account(self, account: int) -> list[Lane]:
        """An account's lanes by matcher shard; it always passes the same risk shard."""
        risk_shard = account % self._risk_shards
        return [
            self._lanes[lane_of(self._gateway, risk_shard, s)] for s in range(self._matcher_shards)
        ]

    def all(self) -> Iterator[tuple[Lane, int, int]]:
        """Every lane, with its risk shard and how many of these there are."""
        for lane in self._lanes.values():
            yield lane, lane.risk_shard, self._risk_shards

    def disconnect(self, account: int, turn: int, wall_ns: int) -> None:
        """Its session is over, in every matcher shard."""
        for lane in self.of_account(account):
            lane.put((CMD_DISCONNECT, account, wall_ns, 0, self._gateway, turn))

    @property
    def held(self) -> int:
        return sum(lane.held for lane in self._lanes.values())

    def flush(self, told: Callable[[int], int | None], now_ns: int) -> list[tuple[int, bytes]]:
        """One frame for each lane that got commands in this batch.

        told: of a matcher shard, how far this gateway has told its participants. What goes to
        another shard waits: its outcome would not be heard."""
        frames: list[tuple[int, bytes]] = []
        for number, lane in self._lanes.items():
            if lane.batch and (told_seq := told(matcher_shard_of(number))) is not None:
                payload = lane_payload(told_seq, encode(lane.batch))
                frame = lane.sender.push(payload, len(lane.batch), now_ns)
                received_ns = self.now_ns if lane.batch[0][C_CL_ORD_ID] else 0
                lane.waiting.append((received_ns, len(lane.batch)))
                lane.batch.clear()
                frames.append((lane.risk_shard, frame))
        return frames

    def ack(self, acks: list[Any]) -> None:
        """A block's acknowledgements; those of other gateways are passed over."""
        for number, epoch, link_no, n in acks:
            if gateway_of(number) == self._gateway:
                self._lanes[number].ack(epoch, link_no, n, self.now_ns, self.took)

    def step(self, now_ns: int) -> None:
        """See which lanes make progress."""
        for lane in self._lanes.values():
            state = lane.breaker.step(now_ns, lane.acked, lane.sender.weight)
            lane.flows = state is State.CLOSED

    def breakers(self) -> dict[str, float]:
        """For metrics: the state of each lane's breaker, by where it leads."""
        leads = {
            n: f"risk{x.risk_shard}-matcher{matcher_shard_of(n)}" for n, x in self._lanes.items()
        }
        return {
            f"rtes_circuit_breaker_state.{leads[number]}": float(lane.breaker.state)
            for number, lane in self._lanes.items()
        }

    def status(
        self, shard: int, epoch: int, entries: list[Any], now_ns: int
    ) -> Iterator[tuple[int, bytes]]:
        """A risk shard says what it expects: the frames to send again."""
        known = {e[0]: (e[1], e[2], e[3], e[4]) for e in entries}
        for number, lane in self._lanes.items():
            if lane.risk_shard == shard:
                for frame in lane.sender.status(epoch, known.get(number), now_ns):
                    yield shard, frame
