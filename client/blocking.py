"""The blocking client: one account, one DEALER socket, the session's state machine between.

Not for use from several threads at once. Nothing here hangs: every wait has a timeout, and
close() gives what was sent half a second to leave.
"""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final

import zmq
from msgspec.structs import astuple
from rtes.client.credentials import Credentials
from rtes.client.errors import NotConnected, Rejected, TimedOut
from rtes.client.marketdata import MarketData
from rtes.client.orders import Order, Position
from rtes.client.requests import new_order
from rtes.client.session import Session
from rtes.common import messages as m
from rtes.common.config import Config, running
from rtes.common.enums import CancelOnDisconnect, MassCancelType, Side
from rtes.common.paths import Paths

LINGER_MS: Final = 500
WAITING_MAX: Final = 100_000  # of what one call may collect
OnReport = Callable[[m.Outbound], None]


def open_socket(endpoint: str, credentials: Credentials, context: Any) -> Any:
    """A DEALER that proves who it is."""
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 2_000)
    socket.set_hwm(100_000)
    socket.curve_publickey = credentials.public_key.encode()
    socket.curve_secretkey = credentials.secret_key.encode()
    socket.curve_serverkey = credentials.server_key.encode()
    socket.connect(endpoint)
    return socket


class Client:
    """A participant. Use as a context manager; see docs/sdk.md."""

    def __init__(
        self,
        credentials: Credentials,
        config: Config,
        session: Session,
        on_report: OnReport | None,
        timeout_s: float,
        endpoint: str | None = None,
    ) -> None:
        """Use Client.connect."""
        self.credentials = credentials
        self.config = config
        self.endpoint = endpoint or config.exchange.orders_endpoint
        self._session = session
        self._on_report = on_report
        self._timeout_s = timeout_s
        self._socket = open_socket(self.endpoint, credentials, zmq.Context.instance())
        self._waiting: list[m.Outbound] = []

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
        """Log on. Raises NotConnected, Rejected, or RtesError for missing credentials."""
        config = config or running(profile)
        credentials = credentials or Credentials.of(account, Paths(config))
        session = Session(account, heart_bt_int, cancel_on_disconnect)
        client = cls(credentials, config, session, on_report, timeout_s, endpoint)
        session.logon(time.time_ns())
        try:
            client._until(lambda: session.logged_on or session.refused is not None, "logon")
        except TimedOut:
            client.close()
            raise NotConnected(
                f"no answer from {client.endpoint} within {timeout_s:g} s; is the exchange "
                f"running (scripts/start.sh), and is {account}'s key one of its own?"
            ) from None
        if session.refused is not None:
            client.close()
            raise Rejected(session.refused.reject_code, session.refused.limit)
        return client

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Log out and leave; resting orders stay unless cancel_on_disconnect says otherwise."""
        if self._socket.closed:
            return
        if self._session.logged_on:
            self._socket.send(m.encode(m.Logout()))
        self._socket.close(LINGER_MS)

    # ------------------------------------------------------------ state

    @property
    def orders(self) -> dict[int, Order]:
        """Orders of this process, open and done, by their present cl_ord_id."""
        return self._session.account.orders

    @property
    def open_orders(self) -> list[Order]:
        return [o for o in self.orders.values() if o.status is not None and not o.done]

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
            self._answer(message.cl_ord_id)
            if order.status == "8":
                raise Rejected(order.reject_code, order.limit, order.value)
        return order

    def cancel(self, order: Order | int, symbol: str = "", *, wait: bool = True) -> int:
        """Cancel an order, by itself or by cl_ord_id and symbol; returns the request's id.

        Raises Rejected when it is not open any more."""
        if isinstance(order, int):
            orig = order
        else:
            orig, symbol = order.cl_ord_id, order.symbol
        if not symbol and orig in self.orders:
            symbol = self.orders[orig].symbol
        return self._request(m.OrderCancelRequest(self.next_id(), symbol, orig), wait)

    def replace(
        self,
        order: Order,
        qty: int | None = None,
        price: int | None = None,
        stop_px: int = 0,
        *,
        wait: bool = True,
    ) -> int:
        """Change quantity (the new total) or price; returns the request's id. Raises Rejected."""
        qty = order.order_qty if qty is None else qty
        price = order.price if price is None else price
        message = m.OrderCancelReplaceRequest(
            self.next_id(), order.symbol, order.cl_ord_id, qty, price, stop_px
        )
        return self._request(message, wait)

    def cancel_all(self, symbol: str = "", side: str = "") -> int:
        """Cancel all open orders, of one symbol or side; returns how many there were."""
        kind = MassCancelType.SYMBOL if symbol else MassCancelType.ALL
        request = m.OrderMassCancelRequest(self.next_id(), kind, symbol, side)
        reports = self.ask(request)
        return next(r.total_affected_orders for r in reports if hasattr(r, "total_affected_orders"))

    def _request(self, message: Any, wait: bool) -> int:
        self.send([message])
        if wait:
            mine = message.cl_ord_id
            for report in self._answer(mine):
                if isinstance(report, m.OrderCancelReject) and report.cl_ord_id == mine:
                    raise Rejected(report.reject_code, report.limit, report.value)
        return int(message.cl_ord_id)

    def ask(self, message: Any) -> list[m.Outbound]:
        """Send a request and return everything told until it was answered."""
        self.send([message])
        return self._answer(message.cl_ord_id)

    def _answer(self, cl_ord_id: int) -> list[m.Outbound]:
        told = self._collect()
        self._until(lambda: cl_ord_id not in self._session.unanswered, f"request {cl_ord_id}")
        for message in told:
            if isinstance(message, m.BusinessMessageReject) and message.cl_ord_id == cl_ord_id:
                raise Rejected(message.reject_code, message.limit, message.value)
            if isinstance(message, m.Reject):
                raise Rejected(message.reject_code, message.limit, message.value, message.text)
        return told

    # ------------------------------------------------------------ queries

    def instruments(self) -> dict[str, m.SecurityList]:
        """All listed instruments by symbol."""
        request = m.SecurityListRequest(str(self.next_id()))
        rows = self._rows(request, m.SecurityList, "tot_no_related_sym", request.security_req_id)
        return {row.symbol: row for row in rows}

    def account_usage(self, account: str = "") -> list[m.PositionReport]:
        """Positions, limits and usage; operators may name another account."""
        request = m.RequestForPositions(str(self.next_id()), account)
        return self._rows(request, m.PositionReport, "total_num_pos_reports", request.pos_req_id)

    def _rows(self, request: Any, kind: type, total: str, request_id: str) -> list[Any]:
        rows: list[Any] = []

        def complete() -> bool:
            # the first field of such a row echoes the request
            rows[:] = [r for r in told if isinstance(r, kind) and astuple(r)[0] == request_id]
            return bool(rows) and len(rows) >= getattr(rows[0], total)

        told = self._collect()
        self.send([request])
        self._until(complete, type(request).__name__)
        return rows

    def market_data(
        self, symbols: Sequence[str], channels: Sequence[str] = ("top", "depth", "trades")
    ) -> MarketData:
        """Subscribe; the books rebuild themselves while you poll it."""
        exchange = self.config.exchange
        return MarketData(
            exchange.market_data_endpoint, exchange.snapshots_endpoint, symbols, channels,
            self.credentials,
        )  # fmt: skip

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
        if self._socket.poll(int(timeout_s * 1_000)):
            now_ns = time.time_ns()
            try:
                while True:
                    found.extend(self._session.receive(self._socket.recv(zmq.NOBLOCK), now_ns))
            except zmq.Again:
                pass
        self._session.tick(time.time_ns())
        self._flush()
        self._waiting.extend(found)
        del self._waiting[:-WAITING_MAX]
        if self._on_report is not None:
            for message in found:
                self._on_report(message)
        return found

    def _flush(self) -> None:
        outbox = self._session.outbox
        while outbox:
            try:
                self._socket.send(outbox[0], zmq.NOBLOCK)
            except zmq.Again:
                return  # no connection takes it now; it goes out at a later poll
            outbox.popleft()

    def _collect(self) -> list[m.Outbound]:
        """What polls find from here on, until the next call."""
        self._waiting = []
        return self._waiting

    def _until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self._timeout_s
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimedOut(f"no answer to {what} within {self._timeout_s:g} s")
            self.poll(min(left, 0.1))
            self._session.check()
