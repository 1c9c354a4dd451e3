"""Market data: a replica of one matcher shard tells the public what its blocks changed.

Invariants: every block is executed again and must come out as the matcher told it, else the
process stops before it publishes; numbers follow from the blocks alone, so a restarted publisher
goes on where it was; a topic that nobody has wanted for a while has numbers, but no messages; a
subscriber can slow neither the matcher nor another subscriber. What flush returns while the feed
is being caught up is history: throw it away.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from rtes.common.enums import Channel, PartyAction, SecurityTradingStatus
from rtes.common.marketdata import (
    CONFLATION_INTERVAL_NS,
    HEARTBEAT_INTERVAL_NS,
    REQUEST_BYTES_MAX,
    MarketDataRequest,
    decode_query,
    encode,
    topic_of,
)
from rtes.common.records import NOTICE_PARTY, Block, Notice
from rtes.common.refdata import Instrument
from rtes.services.marketdata.business import Business
from rtes.services.marketdata.market import Market
from rtes.services.marketdata.replica import Replica
from rtes.services.matcher.engine import Engine
from rtes.services.matcher.reporter import Event

Publication = tuple[bytes, bytes]  # topic, frame
UNKNOWN_SYMBOL: Final = "0"  # MDReqRejReason (281)
MALFORMED: Final = "Z"
OFFER_NS: Final = 10_000_000_000  # longer than a lost connection takes to be made again
_NEVER_NS: Final = 2**63 - 1


class MarketDataCore:
    """One matcher shard's market data. instruments are those that the shard trades."""

    def __init__(self, engine: Engine, instruments: Iterable[Instrument]) -> None:
        instruments = list(instruments)
        self._engine = engine
        self._replica = Replica(engine)
        self.business = Business(instruments)
        self._epoch = 0
        self._markets = {i.symbol: Market(engine.books[i.symbol]) for i in instruments}
        self._topics = {
            topic_of(channel, symbol): (channel, market)
            for symbol, market in self._markets.items()
            for channel in Channel
        }
        self._sent_ns: dict[bytes, int] = {}  # by topic that is told, longest silent first
        self._wanted = dict.fromkeys(self._topics, 0)  # subscriptions that have it
        self.subscriptions = 0  # that anybody has, to whatever
        self._offered_ns: dict[bytes, int] = {}  # told until then, wanted or not
        self._moved: dict[str, Market] = {}  # by the block being executed
        self._touched: dict[str, Market] = {}  # have something to publish
        self._conflating: dict[str, Market] = {}  # top changed since it was last told there
        self._conflated_ns = 0
        self._outbox: list[Publication] = []

    def wanted(self, beginning: bytes, begins: bool, now_ns: int) -> None:
        """The first subscriber begins, or the last ceases, to want all topics that start so."""
        self.subscriptions += 1 if begins else -1
        for topic in self._topics:
            if topic.startswith(beginning):
                self._wanted[topic] += 1 if begins else -1
                self._offer(topic, now_ns)

    def offer(self, now_ns: int) -> None:
        """Tell all topics for a while: who wants them may not have said so yet."""
        for topic in self._topics:
            self._offer(topic, now_ns)

    def _offer(self, topic: bytes, now_ns: int) -> None:
        """Who has just lost its connection, or will ask for a snapshot first, misses nothing."""
        self._offered_ns[topic] = now_ns + OFFER_NS
        if topic not in self._sent_ns:
            self._sent_ns[topic] = now_ns
            self._tell(topic, True)

    def _rest(self, now_ns: int) -> None:
        """Stop to tell what nobody has wanted for a while."""
        due = [topic for topic, until_ns in self._offered_ns.items() if until_ns <= now_ns]
        for topic in due:
            del self._offered_ns[topic]
            if self._wanted[topic] <= 0:
                del self._sent_ns[topic]
                self._tell(topic, False)

    def _tell(self, topic: bytes, told: bool) -> None:
        channel, market = self._topics[topic]
        if channel is not Channel.CONFLATED:
            market.streams[channel].tell(told)

    def state(self) -> dict[str, Any]:
        """Besides the engine's: what the publisher itself must go on with."""
        markets = {symbol: market.state() for symbol, market in self._markets.items()}
        return {"epoch": self._epoch, "markets": markets}

    def restore(self, saved: Mapping[str, Any], next_seq: int) -> None:
        """Go on at next_seq; the engine has taken in its own state."""
        self._epoch = saved["epoch"]
        for symbol, market in saved["markets"].items():
            self._markets[symbol].restore(market)
        self._replica.resume(next_seq)

    def handle_block(self, block: Block) -> None:
        """Take the next block of the feed. Raises InvariantError when it comes out differently."""
        if block.epoch != self._epoch:
            self._epoch = block.epoch
            for market in self._markets.values():
                market.restart(block.epoch)
        self._replica.execute(block, self._executed)
        last_ns = block.time_ns + block.commands - 1
        for symbol, market in self._moved.items():
            if market.refresh(last_ns) and market.conflated_topic in self._sent_ns:
                self._conflating[symbol] = market
        self._touched.update(self._moved)
        self._moved.clear()

    def _executed(self, time_ns: int, events: list[Event], notices: list[Notice]) -> None:
        """Give what one command did to the markets it is about."""
        self.business.executed(events)
        if len(events) == 1:  # most commands: spare them the sorting by symbol
            symbol = events[0][1].symbol
            market = self._moved[symbol] = self._markets[symbol]
            market.executed(events, time_ns)
        else:
            by_symbol: dict[str, list[Event]] = {}
            for event in events:
                by_symbol.setdefault(event[1].symbol, []).append(event)
            for symbol, about in by_symbol.items():
                market = self._moved[symbol] = self._markets[symbol]
                market.executed(about, time_ns)
        for notice in notices:
            self._notice(notice, time_ns)

    def _notice(self, notice: Notice, time_ns: int) -> None:
        """The kill switch of a symbol, or of all."""
        if notice[0] != NOTICE_PARTY:
            return
        action, account, about = notice[1:4]
        if account:
            return  # was suspended, which is nobody else's business
        reinstated = action == PartyAction.REINSTATE
        status = SecurityTradingStatus.READY_TO_TRADE if reinstated else SecurityTradingStatus.HALT
        for symbol, market in self._markets.items():
            if about in ("", symbol):
                self._moved[symbol] = market
                market.trading_status(status, time_ns)

    def flush(self, now_ns: int) -> list[Publication]:
        """What is to be published now: one frame per topic with all its new messages."""
        for market in self._touched.values():
            for stream in market.streams.values():
                frame = stream.take()
                if frame is not None:
                    self._publish(stream.topic, frame, now_ns)
        self._touched.clear()
        outbox, self._outbox = self._outbox, []
        return outbox

    def _publish(self, topic: bytes, frame: bytes, now_ns: int) -> None:
        self._outbox.append((topic, frame))
        del self._sent_ns[topic]
        self._sent_ns[topic] = now_ns

    def tick(self, now_ns: int) -> None:
        """Conflated tops and heartbeats that are due; the next flush returns them."""
        if self._offered_ns:
            self._rest(now_ns)
        if self._conflating and now_ns - self._conflated_ns >= CONFLATION_INTERVAL_NS:
            self._conflated_ns = now_ns
            for market in self._conflating.values():
                if market.conflated_topic in self._sent_ns:
                    self._publish(market.conflated_topic, market.conflated(), now_ns)
            self._conflating.clear()
        while now_ns - self._silent_since_ns() >= HEARTBEAT_INTERVAL_NS:
            topic = next(iter(self._sent_ns))
            channel, market = self._topics[topic]
            self._publish(topic, market.heartbeat(channel), now_ns)

    def _silent_since_ns(self) -> int:
        return next(iter(self._sent_ns.values()), _NEVER_NS)

    def handle_request(self, payload: bytes) -> list[bytes]:
        """The frames that answer one frame of the snapshot service's ROUTER."""
        if len(payload) > REQUEST_BYTES_MAX:
            return [_reject("", "", MALFORMED)]
        try:
            query = decode_query(payload)
        except ValueError:  # msgspec's errors, and that of a string which is not UTF-8
            return [_reject("", "", MALFORMED)]
        market = self._markets.get(query.symbol)
        if market is None:
            return [_reject(query.symbol, query.channel, UNKNOWN_SYMBOL)]
        if isinstance(query, MarketDataRequest) or query.channel is Channel.CONFLATED:
            return market.snapshot(query.channel)
        stream = market.streams[query.channel]
        again = stream.retransmit(query.epoch, query.appl_beg_seq_num)
        return market.snapshot(query.channel) if again is None else again


def _reject(symbol: str, channel: str, reason: str) -> bytes:
    return encode([("Y", symbol, channel, reason)])
