"""Live market data over ZeroMQ: subscribes, recovers what is missed, keeps the books.

Blocking and single-threaded: everything happens in `poll`, which must be called often enough for
the socket's queue to hold what comes in between; what overflows is recovered, and the book is
`stale` meanwhile. A subscriber that cannot keep up says so (`slow`) and from then on takes only
conflated tops of book, 10 a second, and trading statuses.
"""

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Final

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

ALL_CHANNELS: Final = (Channel.TOP, Channel.DEPTH, Channel.TRADES, Channel.ORDERS)
TIMED: Final = (TopOfBook, PriceLevel, Trade, OrderEntry)  # tell of something just now
QUEUE_FRAMES: Final = 50_000
DRAIN_FRAMES_MAX: Final = 1_000
REQUEST_CHECK_MS: Final = 50


class MarketData:
    """Books of some symbols. Slow consumers take "conflated" (top of book, 10 times a second)
    instead of "top". The status channel is always included."""

    def __init__(
        self,
        endpoint: str,
        request_endpoint: str,
        symbols: Iterable[str],
        channels: Iterable[str] = ALL_CHANNELS,
        credentials: Credentials | None = None,
    ) -> None:
        """endpoint is the publisher's, request_endpoint the snapshot service's (the next port);
        credentials are None where the exchange runs without CURVE. Returns at once; the books
        are stale until their snapshots came."""
        wanted = dict.fromkeys([*map(Channel, channels), Channel.STATUS])
        self.books = {symbol: BookView(symbol, wanted) for symbol in symbols}
        self.frames_bad = 0
        self._pace = Pace()
        self._view_of = {topic_of(c, s): v for s, v in self.books.items() for c in wanted}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._live = self._connect(zmq.SUB, endpoint, credentials)
        for topic in self._view_of:
            self._live.setsockopt(zmq.SUBSCRIBE, topic)
        self._answers = self._connect(zmq.DEALER, request_endpoint, credentials)

    def _connect(
        self, kind: int, endpoint: str, credentials: Credentials | None
    ) -> "zmq.Socket[bytes]":
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IMMEDIATE, 1)  # no questions queue up for a peer that is away
        socket.set_hwm(QUEUE_FRAMES)
        if credentials is not None:
            socket.curve_publickey = credentials.public_key.encode()
            socket.curve_secretkey = credentials.secret_key.encode()
            socket.curve_serverkey = credentials.server_key.encode()
        socket.connect(endpoint)
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
                try:
                    self._answers.send(request, zmq.NOBLOCK)
                except zmq.Again:
                    return  # not connected; asked again in a while

    def _wait(self, timeout_ms: int) -> list[Published]:
        zmq.zmq_poll([(self._live, zmq.POLLIN), (self._answers, zmq.POLLIN)], timeout_ms)
        events: list[Published] = []
        more_waits = self._drain(self._live, events)
        self._drain(self._answers, events)
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
        self._live.close()
        self._answers.close()
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
