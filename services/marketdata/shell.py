"""Between the loop and the market data core: the feed in, publications and answers out. Pure.

The publisher is a follower like any other: it can fall behind, but it cannot slow an order.
"""

from typing import Any, Final

from rtes.common import feed
from rtes.common.checks import Check, lag_result
from rtes.common.histogram import Histogram
from rtes.common.loop import Rest, Send, Vitals
from rtes.services.marketdata.core import MarketDataCore

FEED: Final = 1  # channel: blocks and status of the matcher
REQUESTS: Final = 2  # channel (ROUTER): snapshots and retransmission
PUBLISH: Final = 3  # channel (XPUB): topic, message; what subscribers want comes in
REPLAY: Final = 4  # channel: the archive
REST_S: Final = 0.001  # between two batches of the feed
UNWANTED_REST_S: Final = 0.005  # while nobody has subscribed to anything
BEHIND_REST_S: Final = 0.0005
BATCH_BYTES_MAX: Final = 50_000  # of the feed, some 300 orders: see process.yield_to_all
CEASES, BEGINS = b"\0", b"\1"  # to be wanted: the first byte of what comes on PUBLISH


class MarketDataShell:
    """One matcher shard's market data."""

    def __init__(self, shard: int, core: MarketDataCore) -> None:
        self.outbox: list[Send] = []
        self._core = core
        self._shard = shard
        self._followers = feed.Followers([shard])
        self._live = False
        self._took = Histogram()  # from execution to here
        self._taken_bytes = 0  # of the feed, in this batch
        self._published = 0
        self._requests = 0

    def resume(self, seq: int) -> None:
        """The core has taken in a snapshot that holds everything up to seq."""
        self._followers.start_after(self._shard, seq)

    def receive(self, channel: int, frames: list[Any], now_ns: int, wall_ns: int) -> None:
        if channel == REQUESTS:
            for routing_id, _user, payload in frames:
                self._requests += 1
                for answer in self._core.handle_request(payload):
                    self.outbox.append((REQUESTS, routing_id, answer))
            return
        if channel == PUBLISH:
            for frame in frames:
                if frame[:1] in (CEASES, BEGINS):
                    self._core.wanted(frame[1:], frame[:1] == BEGINS, now_ns)
            return
        for frame in frames:
            self._taken_bytes += len(frame)
            for block in self._followers.take(frame)[0]:
                self._core.handle_block(block)
                if self._live:
                    self._took.observe(wall_ns - block.time_ns, block.commands)

    def flush(self, now_ns: int, _wall_ns: int) -> None:
        if not self._live:  # subscribers of the publisher before are about to come back
            self._core.offer(now_ns)
        publications = self._core.flush(now_ns)
        self._live = self._live or self._followers.caught_up
        for topic, payload in publications if self._live else ():  # no history as if it were news
            self._published += 1
            self.outbox.append((PUBLISH, topic, payload))
        for shard, seq in self._followers.requests(now_ns):
            self.outbox.append((REPLAY, None, feed.replay_request(shard, seq)))

    def tick(self, now_ns: int) -> None:
        self._core.tick(now_ns)

    def rest(self) -> Rest:
        """For the loop: let the feed wait for company, after a full batch shorter."""
        taken, self._taken_bytes = self._taken_bytes, 0
        if taken >= BATCH_BYTES_MAX:
            return Rest(BEHIND_REST_S)
        return Rest(REST_S if self._core.subscriptions else UNWANTED_REST_S)

    def _lag(self) -> int:
        follower = self._followers.by_shard[self._shard]
        return follower.head_seq + 1 - follower.next_seq

    def health_checks(self) -> list[Check]:
        return [
            Check("feed", lambda: lag_result(self._lag()), groups=("data",), fail_after=3),
        ]

    def vitals(self) -> Vitals:
        follower, lag = self._followers.by_shard[self._shard], self._lag()
        return Vitals(
            ready=self._followers.caught_up or (follower.epoch > 0 and lag < 100_000),
            counters={
                "rtes_market_data_messages_total": self._published,
                "rtes_market_data_requests_total": self._requests,
                **self._core.business.counters(),
            },
            gauges={"rtes_feed_lag": lag, "rtes_sequence": follower.next_seq - 1},
            histograms={"rtes_delivery_seconds": self._took},
            events=self._followers.events.take(),
        )
