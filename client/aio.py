"""The asyncio client: the same session, driven by the event loop.

What comes is taken as soon as the loop is free, and a task sends the heartbeats. Requests wait for
their own answer only, so many may be under way at once; they leave in the order of their ids.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import zmq
from rtes.client.connection import Connection, reach
from rtes.client.credentials import Credentials
from rtes.client.errors import NotConnected, Rejected, TimedOut
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

TICK_S: Final = 0.1
REPORTS_KEPT: Final = 100_000  # for a reports() that is not read


class AsyncClient:
    """A participant in an event loop: `async with await AsyncClient.connect("DEMO1") as c:`."""

    def __init__(
        self, session: Session, endpoint: str, credentials: Credentials | None, timeout_s: float
    ) -> None:
        """Use AsyncClient.connect."""
        self._session = session
        self._timeout_s = timeout_s
        self._connection = Connection(endpoint, credentials)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._connection.socket.fileno(), self._take)
        self._heartbeats = self._loop.create_task(self._tick())
        self._turn = asyncio.Lock()
        self._waiting: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self._listening: list[list[m.Outbound]] = []
        self._reports: asyncio.Queue[m.Outbound] = asyncio.Queue(REPORTS_KEPT)

    @classmethod
    async def connect(
        cls,
        account: str,
        *,
        profile: str = "dev",
        config: Config | None = None,
        credentials: Credentials | None = None,
        endpoint: str | None = None,
        cancel_on_disconnect: CancelOnDisconnect = CancelOnDisconnect.NOTHING,
        heart_bt_int: int = 30,
        timeout_s: float = 5.0,
    ) -> "AsyncClient":
        """Log on, without an endpoint at the first gateway that answers.

        Raises NotConnected, Rejected, or RtesError for missing credentials."""
        endpoints, credentials = reach(account, profile, config, credentials, endpoint)
        for gateway in endpoints:
            session = Session(account, heart_bt_int, cancel_on_disconnect)
            client = cls(session, gateway, credentials, timeout_s)
            try:
                await client._log_on()
                break
            except BaseException as error:
                await client.close()
                if not isinstance(error, NotConnected) or gateway == endpoints[-1]:
                    raise
        return client

    async def _log_on(self) -> None:
        session = self._session
        session.logon(time.time_ns())
        self._flush()
        try:
            await self._until(lambda: session.logged_on or session.refused is not None, "logon")
        except TimedOut:
            text = self._connection.no_answer(self._timeout_s, session.silent)
            raise NotConnected(text) from None
        if session.refused is not None:
            refused = session.refused
            raise Rejected(refused.reject_code, refused.limit, refused.value)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Log out and leave; resting orders stay unless cancel_on_disconnect says otherwise."""
        if self._connection.socket.closed:
            return
        self._loop.remove_reader(self._connection.socket.fileno())
        self._heartbeats.cancel()
        with suppress(asyncio.CancelledError):
            await self._heartbeats
        if self._session.logged_on:
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

    # ------------------------------------------------------------ trading

    async def buy(self, symbol: str, qty: int, price: int | None = None, **terms: Any) -> Order:
        """Terms as in rtes.client.requests.new_order. Raises Rejected."""
        return await self._order(symbol, Side.BUY, qty, price, terms)

    async def sell(self, symbol: str, qty: int, price: int | None = None, **terms: Any) -> Order:
        """Terms as in rtes.client.requests.new_order. Raises Rejected."""
        return await self._order(symbol, Side.SELL, qty, price, terms)

    async def _order(
        self, symbol: str, side: Side, qty: int, price: int | None, terms: Any
    ) -> Order:
        message = new_order(self.next_id(), symbol, side, qty, price, **terms)
        await self.send([message])
        order = self.orders[message.cl_ord_id]
        await self._answer(message)
        order.check()
        return order

    async def cancel(self, order: Order | int, symbol: str = "") -> None:
        """Cancel what is left of an order. Raises Rejected when it is not open any more."""
        await self.ask(cancel_request(self.next_id(), self.orders, order, symbol))

    async def replace(
        self,
        order: Order,
        qty: int | None = None,
        price: int | None = None,
        stop_px: int | None = None,
    ) -> None:
        """Change quantity (the new total), price or stop price. Raises Rejected."""
        await self.ask(replace_request(self.next_id(), order, qty, price, stop_px))

    async def cancel_all(self, symbol: str = "", side: str = "") -> int:
        """Cancel all open orders, of one symbol or side; returns how many there were."""
        return total_canceled(await self.ask(mass_cancel_request(self.next_id(), symbol, side)))

    async def ask(self, message: Any) -> list[m.Outbound]:
        """Send a request and return everything told until it was answered. Raises Rejected."""
        await self.send([message])
        return await self._answer(message)

    async def _answer(self, message: Any) -> list[m.Outbound]:
        unanswered, cl_ord_id = self._session.unanswered, message.cl_ord_id
        with self._listen() as told:
            await self._until(lambda: cl_ord_id not in unanswered, f"request {cl_ord_id}")
        raise_if_refused(message, told)
        return told

    # ------------------------------------------------------------ queries

    async def instruments(self) -> dict[str, m.SecurityList]:
        """All listed instruments by symbol."""
        request = m.SecurityListRequest(self._session.next_question())
        rows = await self._rows(
            request, m.SecurityList, "tot_no_related_sym", request.security_req_id
        )
        return {row.symbol: row for row in rows}

    async def account_usage(self, account: str = "") -> list[m.PositionReport]:
        """Positions, limits and usage; operators may name another account."""
        request = m.RequestForPositions(self._session.next_question(), account)
        return await self._rows(
            request, m.PositionReport, "total_num_pos_reports", request.pos_req_id
        )

    async def _rows(self, request: Any, kind: type, total: str, request_id: str) -> list[Any]:
        rows: list[Any] = []

        def complete() -> bool:
            raise_if_refused(request, told)
            rows[:] = rows_of(told, kind, request_id)
            return bool(rows) and len(rows) >= getattr(rows[0], total)

        with self._listen() as told:
            await self.send([request])
            await self._until(complete, type(request).__name__)
        return rows

    # ------------------------------------------------------------ low level

    def next_id(self) -> int:
        """A cl_ord_id for a message of your own."""
        return self._session.next_id()

    async def send(self, messages: Sequence[m.Inbound]) -> None:
        """Send messages as one frame; waits while too many requests are unanswered."""
        async with self._turn:  # first come, first served: ids must leave in ascending order
            if self._session.room < len(messages):
                await self._until(lambda: self._session.room >= len(messages), "room to send")
            self._session.send(messages, time.time_ns())
            self._flush()

    async def reports(self) -> AsyncIterator[m.Outbound]:
        """What was told since the logon and nobody took yet, the newest if that is much, and then
        what is told from now on, in order."""
        while True:
            yield await self._reports.get()

    async def _tick(self) -> None:
        session = self._session
        while True:
            await asyncio.sleep(TICK_S)
            now_ns = time.time_ns()
            if self._connection.was_lost():
                session.lost(now_ns)
            session.tick(now_ns)
            self._flush()

    def _take(self) -> None:
        """Take all that has come and wake who waited for it."""
        now_ns = time.time_ns()
        for frame in self._connection.receive():
            for message in self._session.receive(frame, now_ns):
                for told in self._listening:
                    told.append(message)
                if self._reports.full():
                    self._reports.get_nowait()  # nobody reads them: keep the newest
                self._reports.put_nowait(message)
        self._flush()
        ended = self._session.ended is not None
        for future, done in self._waiting.items():
            if not future.done():
                _settle(future, done, ended)

    def _flush(self) -> None:
        outbox = self._session.outbox
        while outbox and self._connection.send(outbox[0]):
            outbox.popleft()
        # sending may take the socket's signal that something came, so look again
        if self._connection.socket.get(zmq.EVENTS) & zmq.POLLIN:
            self._loop.call_soon(self._take)

    @contextmanager
    def _listen(self) -> Iterator[list[m.Outbound]]:
        """What is told inside the block."""
        told: list[m.Outbound] = []
        self._listening.append(told)
        try:
            yield told
        finally:
            self._listening[:] = [other for other in self._listening if other is not told]

    async def _until(self, done: Callable[[], bool], what: str) -> None:
        if done():
            return
        self._session.check()
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting[future] = done
        try:
            async with asyncio.timeout(self._timeout_s):
                await future
        except TimeoutError:
            raise TimedOut(
                f"no answer to {what} within {self._timeout_s:g} s; it stays under way"
            ) from None
        finally:
            del self._waiting[future]
        if not done():
            self._session.check()


def _settle(future: asyncio.Future[None], done: Callable[[], bool], ended: bool) -> None:
    """Wake the waiter when there is something to wake for, be it an error."""
    try:
        if done() or ended:
            future.set_result(None)
    except Rejected as refused:
        future.set_exception(refused)
