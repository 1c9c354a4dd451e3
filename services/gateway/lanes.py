"""The gateway's lanes to risk: what is taken stays here until the matcher's feed has it.

A lane is the path through one risk shard to one matcher shard. Within it commands keep their
order, whatever is lost or restarted on the way.
"""

from collections.abc import Iterator
from typing import Any

from rtes.common import link
from rtes.common.records import Command, encode, gateway_of, lane_of, risk_shard_of


class Lanes:
    """All lanes of one gateway. Frames come out as (risk shard, frame)."""

    def __init__(self, gateway: int, epoch: int, risk_shards: int, matcher_shards: int) -> None:
        self._gateway = gateway
        self._risk_shards = risk_shards
        self._matcher_shards = matcher_shards
        lanes = [
            lane_of(gateway, r, s) for r in range(risk_shards) for s in range(matcher_shards)
        ]
        self._senders = {lane: link.Sender(lane, epoch) for lane in lanes}
        self._batches: dict[int, list[Command]] = {lane: [] for lane in lanes}

    def lane(self, account: int, matcher_shard: int) -> int:
        """An account always passes the same risk shard."""
        return lane_of(self._gateway, account % self._risk_shards, matcher_shard)

    def add(self, lane: int, command: Command) -> None:
        self._batches[lane].append(command)

    def add_to_all(self, account: int, command: Command) -> None:
        """For what concerns every matcher shard."""
        for shard in range(self._matcher_shards):
            self._batches[self.lane(account, shard)].append(command)

    def held(self, lane: int) -> int:
        """Commands in the lane that the matcher has not acknowledged."""
        return self._senders[lane].weight + len(self._batches[lane])

    @property
    def held_total(self) -> int:
        return sum(sender.weight for sender in self._senders.values())

    def flush(self, now_ns: int) -> Iterator[tuple[int, bytes]]:
        """One frame for each lane that got commands in this batch."""
        for lane, batch in self._batches.items():
            if batch:
                frame = self._senders[lane].push(encode(batch), len(batch), now_ns)
                batch.clear()
                yield risk_shard_of(lane), frame

    def ack(self, acks: list[Any]) -> None:
        """A block's acknowledgements; those of other gateways are passed over."""
        for lane, epoch, link_no, n in acks:
            if gateway_of(lane) == self._gateway:
                self._senders[lane].ack(epoch, link_no, n)

    def status(
        self, shard: int, epoch: int, entries: list[Any], now_ns: int
    ) -> Iterator[tuple[int, bytes]]:
        """A risk shard says what it expects: the frames to send again."""
        known = {e[0]: (e[1], e[2], e[3], e[4]) for e in entries}
        for lane, sender in self._senders.items():
            if risk_shard_of(lane) == shard:
                for frame in sender.status(epoch, known.get(lane), now_ns):
                    yield shard, frame
