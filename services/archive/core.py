"""The archive answers from the journal what others missed, so that the matcher never has to.

It follows the feed only to know how far the journal may be told: blocks are served up to the
head that the matcher released, never further. It keeps, for each account, which blocks told it
something, so that a participant's history is found without a scan; that index is made a slice at
a time, so that no start is slow, and who asks meanwhile is answered when it is complete.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, Protocol

from rtes.common import feed
from rtes.common.checks import Check, Result, healthy_if, lag_result
from rtes.common.loop import Rest, Send, Vitals
from rtes.common.messages import SequenceReset
from rtes.common.records import decode, decode_block, encode

FEED: Final = 1  # channel: blocks and status of the matcher
REQUESTS: Final = 2  # channel (ROUTER): followers and gateways
ANSWER_BYTES_MAX: Final = 1 << 20  # of one replay answer; the follower asks for more
INDEX_BLOCKS: Final = 500  # indexed in one step
REST_S: Final = 0.005  # between two steps, unless somebody asks
FORGET_INTERVAL_NS: Final = 10_000_000_000
WAITING_MAX: Final = 1_024  # history requests that wait for the index; beyond it they are dropped

BlocksFrom = Callable[[int], Iterator[tuple[int, int, int, bytes]]]


class Files(Protocol):
    """The snapshots beside the journal."""

    def seqs(self) -> list[int]: ...
    def piece(self, seq: int, part: str, offset: int, size: int) -> tuple[int, bytes]: ...


class _History:
    """Which blocks told an account something: report number and block, both ascending."""

    __slots__ = ("blocks", "numbers")

    def __init__(self) -> None:
        self.numbers = array("Q")
        self.blocks = array("Q")

    def forget_before(self, seq: int) -> None:
        """Drop what blocks before seq told."""
        gone = bisect_left(self.blocks, seq)
        del self.numbers[:gone], self.blocks[:gone]


class ArchiveCore:
    """Serves one matcher shard. blocks_from(seq) yields (epoch, first_seq, commands, payload);
    kept_from() is the oldest sequence number that it can."""

    def __init__(
        self,
        shard: int,
        blocks_from: BlocksFrom,
        kept_from: Callable[[], int] = lambda: 1,
        snapshots: Files | None = None,
    ) -> None:
        self.outbox: list[Send] = []
        self._shard = shard
        self._blocks_from = blocks_from
        self._kept_from = kept_from
        self._snapshots = snapshots
        self._forgotten_seq = 1
        self._forget_ns = 0
        self._head_seq = 0
        self._epoch = 0
        self._indexed_seq = 0
        self._behind = False  # more of the journal waits than fits into a step
        self._in_demand = False  # somebody asked, or waits
        self._histories: dict[int, _History] = {}
        self._waiting: deque[tuple[bytes, list[int]]] = deque(maxlen=WAITING_MAX)
        self._replays = 0

    def receive(self, channel: int, frames: list[Any], _now_ns: int, _wall_ns: int) -> None:
        if channel == FEED:
            for frame in frames:
                self._feed(frame)
            return
        self._in_demand = True
        for routing_id, _user, payload in frames:
            self._request(routing_id, decode(payload))

    def _feed(self, frame: bytes) -> None:
        if frame[:1] == feed.TOPIC_STATUS:
            status = feed.Status(frame)
            if status.epoch >= self._epoch:
                self._epoch = status.epoch
                self._head_seq = max(self._head_seq, status.head_seq)
            return
        _, epoch, first_seq, commands = feed.HEADER.unpack_from(frame, 1)
        if epoch < self._epoch:
            return  # of a fenced matcher
        self._epoch = epoch
        self._head_seq = max(self._head_seq, first_seq + commands - 1)
        if first_seq == self._indexed_seq + 1:
            self._index(first_seq, commands, frame[1 + feed.HEADER.size :])

    def _index(self, first_seq: int, commands: int, payload: bytes) -> None:
        for account, first_number, reports, *_ in decode_block(payload).chunks:
            if reports:
                history = self._histories.setdefault(account, _History())
                history.numbers.append(first_number)
                history.blocks.append(first_seq)
        self._indexed_seq = first_seq + commands - 1

    def _catch_up(self) -> None:
        """Index a slice of what the feed did not bring, from the journal."""
        blocks = self._released(self._indexed_seq + 1)
        for _, first_seq, commands, payload in islice(blocks, INDEX_BLOCKS):
            self._index(first_seq, commands, payload)

    def _released(self, seq: int) -> Iterator[tuple[int, int, int, bytes]]:
        for block in self._blocks_from(seq):
            if block[1] + block[2] - 1 > self._head_seq:
                return
            yield block

    def _request(self, routing_id: bytes, request: list[Any]) -> None:
        if request[0] == "replay":
            self._replay(routing_id, request[2])
        elif request[0] == "history":
            self._waiting.append((routing_id, request[2:]))
        elif request[0] == "snapshot" and self._snapshots is not None:
            seq, part, offset = request[2:]
            size, data = self._snapshots.piece(seq, part, offset, ANSWER_BYTES_MAX)
            piece = feed.SnapshotPiece(seq, part, offset, size, data, self._snapshots.seqs())
            self.outbox.append((REQUESTS, routing_id, piece.frame()))

    def _replay(self, routing_id: bytes, seq: int) -> None:
        self._replays += 1
        size = 0
        for _epoch, first_seq, commands, payload in self._released(seq):
            if first_seq > seq and not size:
                break
            # the present matcher vouches for what its predecessors journaled
            frame = feed.frame(self._shard, self._epoch, first_seq, commands, payload)
            self.outbox.append((REQUESTS, routing_id, frame))
            size += len(frame)
            if size >= ANSWER_BYTES_MAX:
                break
        if not size and seq <= self._head_seq:  # removed, or damaged
            self.outbox.append((REQUESTS, routing_id, feed.gone_frame(self._shard, seq)))
            return
        self.outbox.append((REQUESTS, routing_id, feed.end_frame(self._shard)))

    def _answer(self, routing_id: bytes, account: int, session: int, reports: bytes) -> int:
        answer = encode((self._shard, account, session, reports))
        self.outbox.append((REQUESTS, routing_id, answer))
        return len(answer)

    def _history(self, routing_id: bytes, account: int, begin: int, session: int) -> None:
        """Send the chunks that hold the account's reports from begin on; what is not kept any
        more is said to be gone."""
        self._forget()
        history = self._histories.get(account, _History())
        kept_from = history.numbers[0] if history.numbers else 0
        if begin < kept_from or not kept_from:
            reset = (SequenceReset.__struct_config__.tag, self._shard, kept_from)
            self._answer(routing_id, account, session, encode([reset]))
        at = max(0, bisect_right(history.numbers, begin) - 1)
        size = 0
        for seq in history.blocks[at:]:
            _, first_seq, _, payload = next(self._blocks_from(seq), (0, 0, 0, b""))
            if first_seq != seq:
                continue  # removed since it was indexed
            for chunk in decode_block(payload).chunks:
                if chunk[0] == account and chunk[2]:
                    size += self._answer(routing_id, account, session, chunk[4])
            if size >= ANSWER_BYTES_MAX:
                return

    def flush(self, _now_ns: int, _wall_ns: int) -> None:
        """Index a slice, then answer whose history is indexed."""
        before = self._indexed_seq
        if before < self._head_seq:
            self._catch_up()
        self._behind = before < self._indexed_seq < self._head_seq
        for _ in range(len(self._waiting)):
            routing_id, (account, begin, session, told_seq) = self._waiting.popleft()
            if self._indexed_seq >= told_seq:
                self._history(routing_id, account, begin, session)
            else:
                self._waiting.append((routing_id, [account, begin, session, told_seq]))

    def tick(self, now_ns: int) -> None:
        """Now and then drop from the index what is not kept any more, or it would only grow."""
        if now_ns < self._forget_ns:
            return
        self._forget_ns = now_ns + FORGET_INTERVAL_NS
        self._forget()

    def _forget(self) -> None:
        seq = self._kept_from()
        if seq > self._forgotten_seq:
            self._forgotten_seq = seq
            for history in self._histories.values():
                history.forget_before(seq)

    def rest(self) -> Rest:
        """For the loop: let the journal grow, unless somebody asks."""
        in_demand, self._in_demand = self._in_demand, bool(self._waiting)
        return Rest(0.0 if in_demand else REST_S, self._behind)

    def health_checks(self) -> list[Check]:
        return [Check("journal", self._journal, groups=("data",), fail_after=3)]

    def _journal(self) -> Result:
        if self._epoch == 0:
            return healthy_if(False, "nothing heard of the matcher")
        return lag_result(self._head_seq - self._indexed_seq)

    def vitals(self) -> Vitals:
        lag = self._head_seq - self._indexed_seq
        return Vitals(
            ready=self._epoch > 0,
            counters={"rtes_replays_total": self._replays},
            gauges={"rtes_sequence": self._indexed_seq, "rtes_feed_lag": lag},
        )
