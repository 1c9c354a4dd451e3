"""The blocking client: one account, one connection, the session's state machine between.

Not for use from several threads at once. Nothing here hangs: every wait has a timeout, and
close() gives what was sent half a second to leave. Call poll() at least once in heart_bt_int: it
sends the heartbeats; the exchange ends a session that is silent for longer, which then begins
again at the next call.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

import zmq
from rtes.client.connection import Connection, reach
from rtes.client.credentials import Credentials
from rtes.client.errors import NotConnected, Rejected, RtesError, TimedOut
from rtes.client.marketdata import MarketData, sources_of
from rtes.client.orders import Order, Position
from rtes.client.requests import (
    cancel_request,
    mass_cancel_request,
    new_order,
    raise_if_refused,
    replace_request,
    rows_of,
    total_canceled,
)
from rtes.client.session import Session
from rtes.common import messages as m
from rtes.common.config import Config
from rtes.common.enums import CancelOnDisconnect, Side

WATCH_NS: Final = 50_000_000  # between two looks at the connection
POLL_S: Final = 0.1
OnReport = Callable[[m.Outbound], None]


class Client:
    """A participant. Use as a context manager; see docs/sdk.md."""

    def __init__(
        self,
        session: Session,
        endpoint: str,
        credentials: Credentials | None,
        on_report: OnReport | None,
        timeout_s: float,
    ) -> None:
        """Use Client.connect."""
        self.account = session.name
        self.credentials = credentials
        self.endpoint = endpoint
        self._session = session
        self._on_report = on_report
        self._timeout_s = timeout_s
        self._connection = Connection(self.endpoint, credentials)
        self._polled = [(self._connection.socket, zmq.POLLIN)]
        self._watched_ns = 0
        self._told: list[m.Outbound] | None = None  # what the call that waits is told

    @classmethod
    def connect(
        cls,
        account: str,
        *,
        profile: str = "dev",
        config: Config | None = None,
        credentials: Credentials | None = None,
        endpoint: str | None = None,
        cancel_on_disconnect: CancelOnDisconnect = CancelOnDisconnect.NOTHING,
        heart_bt_int: int = 30,
        on_report: OnReport | None = None,
        timeout_s: float = 5.0,
    ) -> "Client":
        """Log on, without an endpoint at the first gateway that answers.

        Raises NotConnected, Rejected, or RtesError for missing credentials."""
        endpoints, credentials = reach(account, profile, config, credentials, endpoint)
        for gateway in endpoints:
            session = Session(account, heart_bt_int, cancel_on_disconnect)
            client = cls(session, gateway, credentials, on_report, timeout_s)
            try:
                client._log_on()
                break
            except RtesError as error:
                client.close()
                if not isinstance(error, NotConnected) or gateway == endpoints[-1]:
                    raise
        return client

    def _log_on(self) -> None:
        session = self._session
        session.logon(time.time_ns())
        try:
            self._until(lambda: session.logged_on or session.refused is not None, "logon")
        except TimedOut:
            text = self._connection.no_answer(self._timeout_s, session.silent)
            raise NotConnected(text) from None
        if session.refused is not None:
            refused = session.refused
            raise Rejected(refused.reject_code, refused.limit, refused.value)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Log out and leave; resting orders stay unless cancel_on_disconnect says otherwise."""
        if self._session.logged_on and not self._connection.socket.closed:
            self._flush()
            self._connection.send(m.encode(m.Logout()))
        self._connection.close()

    # ------------------------------------------------------------ state

    @property
    def orders(self) -> dict[int, Order]:
        """Orders of this process, open and done, by their present cl_ord_id."""
        return self._session.account.orders

    @property
    def open_orders(self) -> list[Order]:
        return self._session.account.open_orders

    @property
    def positions(self) -> dict[str, Position]:
        """Positions from the fills that this process was told."""
        return self._session.account.positions

    @property
    def in_flight(self) -> int:
        """Requests without an answer yet."""
        return len(self._session.unanswered)

    # ------------------------------------------------------------ trading

    def buy(
        self, symbol: str, qty: int, price: int | None = None, *, wait: bool = True, **terms: Any
    ) -> Order:
        """Send a buy order; terms as in rtes.client.requests.new_order. Raises Rejected."""
        return self._order(symbol, Side.BUY, qty, price, wait, terms)

    def sell(
        self, symbol: str, qty: int, price: int | None = None, *, wait: bool = True, **terms: Any
    ) -> Order:
        """Send a sell order; terms as in rtes.client.requests.new_order. Raises Rejected."""
        return self._order(symbol, Side.SELL, qty, price, wait, terms)

    def _order(
        self, symbol: str, side: Side, qty: int, price: int | None, wait: bool, terms: Any
    ) -> Order:
        message = new_order(self.next_id(), symbol, side, qty, price, **terms)
        self.send([message])
        order = self.orders[message.cl_ord_id]
        if wait:
            self._answer(message)
            order.check()
        return order

    def cancel(self, order: Order | int, symbol: str = "", *, wait: bool = True) -> int:
        """Cancel an order, by itself or by cl_ord_id and symbol; returns the request's id.

        Raises Rejected when it is not open any more."""
        return self._request(cancel_request(self.next_id(), self.orders, order, symbol), wait)

    def replace(
        self,
        order: Order,
        qty: int | None = None,
        price: int | None = None,
        stop_px: int | None = None,
        *,
        wait: bool = True,
    ) -> int:
        """Change quantity (the new total), price or stop price; returns the request's id.

        Raises Rejected."""
        return self._request(replace_request(self.next_id(), order, qty, price, stop_px), wait)

    def cancel_all(self, symbol: str = "", side: str = "") -> int:
        """Cancel all open orders, of one symbol or side; returns how many there were."""
        return total_canceled(self.ask(mass_cancel_request(self.next_id(), symbol, side)))

    def _request(self, message: Any, wait: bool) -> int:
        if wait:
            self.ask(message)
        else:
            self.send([message])
        return int(message.cl_ord_id)

    def ask(self, message: Any) -> list[m.Outbound]:
        """Send a request and return everything told until it was answered. Raises Rejected."""
        self.send([message])
        return self._answer(message)

    def _answer(self, message: Any) -> list[m.Outbound]:
        unanswered, cl_ord_id = self._session.unanswered, message.cl_ord_id
        with self._collect() as told:
            self._until(lambda: cl_ord_id not in unanswered, f"request {cl_ord_id}")
        raise_if_refused(message, told)
        return told

    # ------------------------------------------------------------ queries

    def instruments(self) -> dict[str, m.SecurityList]:
        """All listed instruments by symbol."""
        request = m.SecurityListRequest(self._session.next_question())
        rows = self._rows(request, m.SecurityList, "tot_no_related_sym", request.security_req_id)
        return {row.symbol: row for row in rows}

    def account_usage(self, account: str = "") -> list[m.PositionReport]:
        """Positions, limits and usage; operators may name another account."""
        request = m.RequestForPositions(self._session.next_question(), account)
        return self._rows(request, m.PositionReport, "total_num_pos_reports", request.pos_req_id)

    def _rows(self, request: Any, kind: type, total: str, request_id: str) -> list[Any]:
        rows: list[Any] = []

        def complete() -> bool:
            raise_if_refused(request, told)
            rows[:] = rows_of(told, kind, request_id)
            return bool(rows) and len(rows) >= getattr(rows[0], total)

        with self._collect() as told:
            self.send([request])
            self._until(complete, type(request).__name__)
        return rows

    def market_data(
        self, symbols: Sequence[str], channels: Sequence[str] = ("top", "depth", "trades")
    ) -> MarketData:
        """Subscribe where the exchange says; the books rebuild themselves while you poll it.

        Raises LookupError for a symbol that is not listed."""
        sources = sources_of(self.instruments(), symbols, self.endpoint)
        return MarketData(sources, channels, self.credentials)

    # ------------------------------------------------------------ low level

    def next_id(self) -> int:
        """A cl_ord_id for a message of your own."""
        return self._session.next_id()

    def send(self, messages: Sequence[m.Inbound]) -> None:
        """Send messages as one frame; waits while too many requests are unanswered."""
        if self._session.room < len(messages):
            self._until(lambda: self._session.room >= len(messages), "room to send")
        self._session.send(messages, time.time_ns())
        self._flush()

    def poll(self, timeout_s: float = 0.0) -> list[m.Outbound]:
        """Take what has come, waiting up to timeout_s for the first; returns what is new."""
        found: list[m.Outbound] = []
        session = self._session
        if zmq.zmq_poll(self._polled, int(timeout_s * 1_000)):
            now_ns = time.time_ns()
            for frame in self._connection.receive():
                found.extend(session.receive(frame, now_ns))
        now_ns = time.time_ns()
        if now_ns - self._watched_ns >= WATCH_NS:
            self._watched_ns = now_ns
            if self._connection.was_lost():
                session.lost(now_ns)
        session.tick(now_ns)
        self._flush()
        if self._told is not None:
            self._told.extend(found)
        if self._on_report is not None:
            for message in found:
                self._on_report(message)
        return found

    def _flush(self) -> None:
        outbox = self._session.outbox
        while outbox and self._connection.send(outbox[0]):
            outbox.popleft()

    @contextmanager
    def _collect(self) -> Iterator[list[m.Outbound]]:
        """What polls find inside the block; on_report may make calls of its own meanwhile."""
        outer = self._told
        told: list[m.Outbound] = []
        self._told = told
        try:
            yield told
        finally:
            self._told = outer
            if outer is not None:
                outer.extend(told)

    def _until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self._timeout_s
        while not done():
            self._session.check()
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimedOut(
                    f"no answer to {what} within {self._timeout_s:g} s; it stays under way: "
                    "poll() until it is answered"
                )
            self.poll(min(left, POLL_S))
