"""Risk stands between gateways and matchers: it decides whether an order may trade.

Invariants: commands of a lane keep their order; what is refused is forwarded too, with its
verdict, so that the matcher journals and tells it; exposure is a projection of the feed, and no
command is decided on less of it than its sender was told. After a
start nothing is taken before the matcher has fenced the risk before this one and its feed has
been replayed up to that point.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from rtes.common import feed, link
from rtes.common.checks import Check, Result, healthy_if, lag_result
from rtes.common.events import Events
from rtes.common.histogram import Histogram
from rtes.common.loop import Send, Vitals
from rtes.common.records import (
    C_CL_ORD_ID,
    C_RECEIVED_NS,
    decode,
    decode_commands,
    encode,
    gateway_of,
    matcher_shard_of,
    split_lane_payload,
)
from rtes.common.refusals import Code
from rtes.common.riskwire import QUERY, answer_topic, status_frame
from rtes.services.risk.rules import Risk

COMMANDS: Final = 1  # channel: frames from gateways
FEED: Final = 2  # channel: blocks and status of all matchers
STATUS: Final = 3  # channel: what is expected on the links, answers to queries
MATCHER: Final = 10  # channel of matcher shard 0
REPLAY: Final = 50  # channel of the archive of shard 0
STATUS_INTERVAL_NS: Final = 200_000_000
ASKED_MAX: Final = 1_000  # questions that wait for the feed; the oldest goes, and is asked again


class RiskCore:
    """Checks the commands of its accounts and passes them on."""

    def __init__(self, shard: int, epoch: int, risk: Risk, matchers: Iterable[int]) -> None:
        self.outbox: list[Send] = []
        self._events = Events()
        self._shard = shard
        self._epoch = epoch
        self._risk = risk
        self._links = link.Receiver()
        self._senders = {m: link.Sender(shard, epoch) for m in matchers}
        self._fenced: set[int] = set()
        self._followers = feed.Followers(self._senders)
        self._groups: dict[int, list[Any]] = {m: [] for m in self._senders}
        # taken from their lanes, not decided yet: (stamp, told_seq, encoded commands)
        self._taken: dict[int, deque[tuple[link.Stamp, int, bytes]]] = {
            m: deque() for m in self._senders
        }
        # (gateway, session, account, request_id, [(matcher, told_seq)])
        self._asked: deque[tuple[Any, ...]] = deque(maxlen=ASKED_MAX)
        self._weights = dict.fromkeys(self._senders, 0)
        self._ready = False
        self._status_ns = 0
        self._status_due = False
        self._checked = 0
        self._refused: dict[int, int] = {}  # by code
        self._took = Histogram()  # from the gateway's socket to the decision

    def resume(self, matcher: int, seq: int) -> None:
        """The projection has taken in a snapshot that holds everything up to seq."""
        self._followers.start_after(matcher, seq)

    def receive(self, channel: int, frames: list[bytes], now_ns: int, _wall_ns: int) -> None:
        if channel == COMMANDS:
            for frame in frames:
                self._commands(frame)
        else:
            for frame in frames:
                self._feed(frame, now_ns)

    def _commands(self, frame: bytes) -> None:
        stamp, payload = link.unpack(frame)
        sender: int = stamp[0]
        if sender == QUERY:
            self._asked.append((stamp[1], *decode(payload)))
            return
        if not self._ready:
            return  # the gateway sends it again when it hears that we are
        if not self._links.accept(stamp):
            self._status_due |= self._links.has_gap
            return
        told_seq, commands = split_lane_payload(payload)
        self._taken[matcher_shard_of(sender)].append((stamp, told_seq, commands))

    def _decide(self, matcher: int, wall_ns: int) -> None:
        """Check what was taken, in order, as far as we know all that its sender was told."""
        taken, follower = self._taken[matcher], self._followers.by_shard[matcher]
        risk = self._risk
        while taken and taken[0][1] < follower.next_seq:
            stamp, _, encoded = taken.popleft()
            commands, gateway = decode_commands(encoded), gateway_of(stamp[0])
            verdicts = []
            for i, command in enumerate(commands):
                refusal = risk.check(command, gateway)
                if refusal is not None:
                    verdicts.append((i, *refusal))
                    code = refusal[0]
                    self._refused[code] = self._refused.get(code, 0) + 1
            self._groups[matcher].append((*stamp, encoded, verdicts))
            self._weights[matcher] += len(commands)
            self._checked += len(commands)
            if commands[0][C_CL_ORD_ID]:  # a participant's, who waits for it
                self._took.observe(wall_ns - commands[0][C_RECEIVED_NS], len(commands))

    def _answer(self) -> None:
        """Answer the questions whose askers were told nothing that is not known here yet."""
        asked, self._asked = self._asked, deque(maxlen=ASKED_MAX)
        for question in asked:
            gateway, session, account, request_id, told = question
            if any(seq >= self._followers.by_shard[shard].next_seq for shard, seq in told):
                self._asked.append(question)
                continue
            rows = self._risk.usage(account, request_id)
            self.outbox.append((STATUS, None, answer_topic(gateway) + encode((session, rows))))

    def _feed(self, frame: bytes, now_ns: int) -> None:
        blocks, status = self._followers.take(frame)
        for block in blocks:
            self._risk.apply_block(block)
        if status is not None:
            self._matcher_status(status, now_ns)

    def _matcher_status(self, status: feed.Status, now_ns: int) -> None:
        """Acknowledge what the matcher journaled, send again what it misses."""
        sender = self._senders[status.shard]
        entry = None
        for shard, epoch, link_no, expected, gap in status.entries:
            if shard != self._shard:
                continue
            entry = (epoch, link_no, expected, gap)
            if epoch == self._epoch:
                self._fenced.add(status.shard)
                sender.ack(epoch, link_no, expected - 1)
        again = sender.status(status.epoch, entry, now_ns)
        if sender.next_index == 0:
            again = [sender.push(encode([]), 0, now_ns)]  # hello: fences the risk before us
        self._send(status.shard, again)

    def _send(self, matcher: int, frames: list[bytes]) -> None:
        self.outbox.extend((MATCHER + matcher, None, frame) for frame in frames)

    def flush(self, now_ns: int, wall_ns: int) -> None:
        for matcher, groups in self._groups.items():
            self._decide(matcher, wall_ns)
            if groups:
                weight, self._weights[matcher] = self._weights[matcher], 0
                frame = self._senders[matcher].push(encode(groups), weight, now_ns)
                self._send(matcher, [frame])
                groups.clear()
        if self._asked:
            self._answer()
        if not self._ready and len(self._fenced) == len(self._senders):
            self._ready = self._followers.caught_up
            self._status_due |= self._ready
            if self._ready:
                self._events.info("ready", epoch=self._epoch, seq=self._followers.applied)
        for shard, seq in self._followers.requests(now_ns):
            self.outbox.append((REPLAY + shard, None, feed.replay_request(shard, seq)))
        if self._status_due:
            self._send_status(now_ns)

    def _send_status(self, now_ns: int) -> None:
        """Tell the gateways what is expected; only a ready risk asks for anything."""
        if self._ready:
            frame = status_frame(self._shard, self._epoch, self._links.entries())
            self.outbox.append((STATUS, None, frame))
        self._status_ns = now_ns
        self._status_due = False

    def tick(self, now_ns: int) -> None:
        if now_ns - self._status_ns >= STATUS_INTERVAL_NS or self._links.has_gap:
            self._send_status(now_ns)

    def _lag(self) -> int:
        return sum(f.head_seq + 1 - f.next_seq for f in self._followers.by_shard.values())

    def health_checks(self) -> list[Check]:
        return [
            Check("feed", lambda: lag_result(self._lag()), critical=True, groups=("data",)),
            Check("matcher_link", self._matcher_link, critical=True, groups=("data",)),
        ]

    def _matcher_link(self) -> Result:
        known, all_of_them = len(self._fenced), len(self._senders)
        return healthy_if(known == all_of_them, f"{known} of {all_of_them} matchers know us")

    def vitals(self) -> Vitals:
        return Vitals(
            ready=self._ready,
            counters={
                "rtes_risk_checked_total": self._checked,
                **{
                    f"rtes_orders_rejected_total.{Code(code).name}": count
                    for code, count in self._refused.items()
                },
            },
            gauges={
                "rtes_feed_lag": self._lag(),
                "rtes_link_held": sum(s.weight for s in self._senders.values()),
                "rtes_feed_gaps": sum(f.gaps for f in self._followers.by_shard.values()),
            },
            histograms={"rtes_order_latency_seconds.risk": self._took},
            events=self._events.take() + self._followers.events.take(),
        )
