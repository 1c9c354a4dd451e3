"""Live market data over ZeroMQ: subscribes, recovers what is missed, keeps the books.

Blocking and single-threaded: everything happens in `poll`, which must be called often enough for
the socket's queue to hold what comes in between; what overflows is recovered, and the book is
`stale` meanwhile. A subscriber that cannot keep up says so (`slow`) and from then on takes only
conflated tops of book, 10 a second, and trading statuses.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, NamedTuple

import zmq
from rtes.client.bookview import BookView
from rtes.client.credentials import Credentials
from rtes.client.pace import Pace
from rtes.common.enums import Channel
from rtes.common.marketdata import (
    ConflatedTop,
    MarketDataRequestReject,
    OrderEntry,
    PriceLevel,
    Published,
    TopOfBook,
    Trade,
    decode_batch,
    topic_of,
)
from rtes.common.messages import SecurityList

ALL_CHANNELS: Final = (Channel.TOP, Channel.DEPTH, Channel.TRADES, Channel.ORDERS)
TIMED: Final = (TopOfBook, PriceLevel, Trade, OrderEntry)  # tell of something just now
ANY_ADDRESS: Final = ("tcp://0.0.0.0", "tcp://*", "tcp://[::]", "tcp://::")
QUEUE_FRAMES: Final = 50_000
DRAIN_FRAMES_MAX: Final = 1_000
REQUEST_CHECK_MS: Final = 50


class Source(NamedTuple):
    """Where the market data of some symbols is: one matcher shard's."""

    endpoint: str  # of the publisher
    request_endpoint: str  # of snapshots and retransmission
    symbols: Sequence[str]


def sources_of(
    listed: Mapping[str, SecurityList], symbols: Iterable[str], gateway: str
) -> list[Source]:
    """Where the exchange says that these symbols' market data is; where it names no address of
    its own, at that of the gateway's endpoint. Raises LookupError for one that is not listed."""
    by_endpoint: dict[str, list[str]] = {}
    for symbol in symbols:
        if symbol not in listed:
            raise LookupError(f"{symbol} is not listed; see `rtes instruments`")
        by_endpoint.setdefault(listed[symbol].market_data_endpoint, []).append(symbol)
    sources = []
    for endpoint, own in by_endpoint.items():
        start, _, port = endpoint.rpartition(":")
        start = gateway.rpartition(":")[0] if start in ANY_ADDRESS else start
        sources.append(Source(f"{start}:{port}", f"{start}:{int(port) + 1}", own))
    return sources


class MarketData:
    """Books of some symbols. Slow consumers take "conflated" (top of book, 10 times a second)
    instead of "top". The status channel is always included."""

    def __init__(
        self,
        sources: Iterable[Source],
        channels: Iterable[str] = ALL_CHANNELS,
        credentials: Credentials | None = None,
    ) -> None:
        """credentials are None where the exchange runs without CURVE. Returns at once; the books
        are stale until their snapshots came."""
        wanted = dict.fromkeys([*map(Channel, channels), Channel.STATUS])
        sources = list(sources)
        self.books = {s: BookView(s, wanted) for source in sources for s in source.symbols}
        self.frames_bad = 0
        self._pace = Pace()
        self._view_of = {topic_of(c, s): v for s, v in self.books.items() for c in wanted}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        # a subscription is sent to all publishers; the others have nothing of it
        self._live = self._socket(zmq.SUB, credentials)
        for topic in self._view_of:
            self._live.setsockopt(zmq.SUBSCRIBE, topic)
        self._answers: list[zmq.Socket[bytes]] = []
        self._asked: dict[str, zmq.Socket[bytes]] = {}  # by symbol
        for source in sources:
            self._live.connect(source.endpoint)
            answers = self._socket(zmq.DEALER, credentials)
            answers.connect(source.request_endpoint)
            self._answers.append(answers)
            self._asked |= dict.fromkeys(source.symbols, answers)
        self._polled = [(socket, zmq.POLLIN) for socket in (self._live, *self._answers)]

    def _socket(self, kind: int, credentials: Credentials | None) -> "zmq.Socket[bytes]":
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IMMEDIATE, 1)  # no questions queue up for a peer that is away
        socket.set_hwm(QUEUE_FRAMES)
        if credentials is not None:
            socket.curve_publickey = credentials.public_key.encode()
            socket.curve_secretkey = credentials.secret_key.encode()
            socket.curve_serverkey = credentials.server_key.encode()
        return socket

    @property
    def stale(self) -> bool:
        """Some book is not up to date yet, or no longer."""
        return any(view.stale for view in self.books.values())

    @property
    def slow(self) -> str:
        """Why this subscriber takes conflated data only; empty while it keeps up."""
        return self._pace.slow

    def poll(self, timeout_s: float = 0.0) -> list[Published]:
        """What changed the books since the last call, in order per symbol and channel; waits up
        to timeout_s for something. Raises LookupError for a symbol that is not listed."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._ask()
            left_ms = (deadline - time.monotonic()) * 1000
            events = self._wait(max(0, min(REQUEST_CHECK_MS, int(left_ms))))
            if events or left_ms <= 0:
                return events

    def _ask(self) -> None:
        now_ns = time.monotonic_ns()
        for view in self.books.values():
            for request in view.requests(now_ns):
                with suppress(zmq.Again):  # not connected; asked again in a while
                    self._asked[view.symbol].send(request, zmq.NOBLOCK)

    def _wait(self, timeout_ms: int) -> list[Published]:
        zmq.zmq_poll(self._polled, timeout_ms)
        events: list[Published] = []
        more_waits = self._drain(self._live, events)
        for answers in self._answers:
            self._drain(answers, events)
        if not self.slow:
            gaps = sum(view.gaps for view in self.books.values())
            self._pace.drained(more_waits, gaps, time.monotonic_ns())
            if self.slow:
                self._conflate()
        return events

    def _drain(self, socket: "zmq.Socket[bytes]", events: list[Published]) -> bool:
        """Take what waits, up to a limit; False when the queue is dry."""
        for _ in range(DRAIN_FRAMES_MAX):
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return False
            events += self._take(parts)
        return True

    def _conflate(self) -> None:
        """Give up what we cannot follow; what still waits of it is passed over."""
        wanted = (Channel.CONFLATED, Channel.STATUS)
        for topic in self._view_of:
            self._live.setsockopt(zmq.UNSUBSCRIBE, topic)
        self._view_of = {topic_of(c, s): v for s, v in self.books.items() for c in wanted}
        for topic in self._view_of:
            self._live.setsockopt(zmq.SUBSCRIBE, topic)
        for view in self.books.values():
            view.follow(wanted)

    def _take(self, parts: list[bytes]) -> list[Published]:
        """A live frame after its topic, or an answer alone."""
        try:
            messages = decode_batch(parts[-1])
        except ValueError:
            self.frames_bad += 1
            return []
        if not messages:
            return []
        live = len(parts) > 1  # ZeroMQ matched only the beginning of the topic
        view = self._view_of.get(parts[0]) if live else self.books.get(messages[0].symbol)
        first = messages[0]
        if live and isinstance(first, TIMED) and not isinstance(first, ConflatedTop):
            self._pace.live(first.transact_time, time.time_ns())
        events = view.apply(messages) if view is not None else []
        for event in events:
            if isinstance(event, MarketDataRequestReject):
                raise LookupError(f"{event.symbol} is not listed; see `rtes instruments`")
        return events

    def close(self) -> None:
        """Drop the connections."""
        for socket, _ in self._polled:
            socket.close()
        self._context.term()

    def __enter__(self) -> "MarketData":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
