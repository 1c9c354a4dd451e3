"""The asyncio client: the same session, driven by the event loop.

A reader task takes what comes; requests wait for their own answer only, so many may be under
way at once.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import zmq
import zmq.asyncio
from rtes.client.blocking import open_socket
from rtes.client.credentials import Credentials
from rtes.client.errors import NotConnected, Rejected, TimedOut
from rtes.client.orders import Order, Position
from rtes.client.requests import new_order
from rtes.client.session import Session
from rtes.common import messages as m
from rtes.common.config import Config, running
from rtes.common.enums import Side
from rtes.common.paths import Paths

TICK_S: Final = 0.1


class AsyncClient:
    """A participant in an event loop: `async with await AsyncClient.connect("DEMO1") as c:`."""

    def __init__(self, credentials: Credentials, endpoint: str, timeout_s: float) -> None:
        """Use AsyncClient.connect."""
        self._session = Session(credentials.account)
        self._timeout_s = timeout_s
        self._context = zmq.asyncio.Context()
        self._socket = open_socket(endpoint, credentials, self._context)
        self._changed = asyncio.Condition()
        self._turn = asyncio.Lock()
        self._reports: asyncio.Queue[m.Outbound] = asyncio.Queue(100_000)
        self._refusals: dict[int, m.BusinessMessageReject | m.OrderCancelReject] = {}
        self._task = asyncio.create_task(self._run())

    @classmethod
    async def connect(
        cls,
        account: str,
        *,
        profile: str = "dev",
        config: Config | None = None,
        credentials: Credentials | None = None,
        endpoint: str | None = None,
        timeout_s: float = 5.0,
    ) -> "AsyncClient":
        """Log on. Raises NotConnected, Rejected, or RtesError for missing credentials."""
        if credentials is None or endpoint is None:
            config = config or running(profile)
            credentials = credentials or Credentials.of(account, Paths(config))
            endpoint = endpoint or config.exchange.orders_endpoint
        client = cls(credentials, endpoint, timeout_s)
        session = client._session
        session.logon(time.time_ns())
        await client._flush()
        try:
            await client._until(
                lambda: session.logged_on or session.refused is not None, "logon"
            )
        except TimedOut:
            await client.close()
            raise NotConnected(f"no answer from {endpoint}; is the exchange running?") from None
        if session.refused is not None:
            await client.close()
            raise Rejected(session.refused.reject_code, session.refused.limit)
        return client

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Log out and leave."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        if self._session.logged_on:
            await self._socket.send(m.encode(m.Logout()))
        self._socket.close()
        self._context.term()

    @property
    def orders(self) -> dict[int, Order]:
        return self._session.account.orders

    @property
    def positions(self) -> dict[str, Position]:
        return self._session.account.positions

    def next_id(self) -> int:
        """A cl_ord_id for a message of your own."""
        return self._session.next_id()

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
        await self.answered(message.cl_ord_id)
        if order.status == "8":
            raise Rejected(order.reject_code, order.limit, order.value)
        return order

    async def cancel(self, order: Order) -> None:
        """Cancel what is left of an order. Raises Rejected when it is not open any more."""
        request = m.OrderCancelRequest(self.next_id(), order.symbol, order.cl_ord_id)
        await self.send([request])
        await self.answered(request.cl_ord_id)

    async def replace(self, order: Order, qty: int, price: int, stop_px: int = 0) -> None:
        """Change the total quantity and the price. Raises Rejected."""
        request = m.OrderCancelReplaceRequest(
            self.next_id(), order.symbol, order.cl_ord_id, qty, price, stop_px
        )
        await self.send([request])
        await self.answered(request.cl_ord_id)

    async def send(self, messages: Sequence[m.Inbound]) -> None:
        """Send messages as one frame; waits while too many requests are unanswered."""
        async with self._turn:  # first come, first served: ids must leave in ascending order
            await self._until(lambda: self._session.room >= len(messages), "room to send")
            self._session.send(messages, time.time_ns())
            await self._flush()

    async def answered(self, cl_ord_id: int) -> None:
        """Wait for a request's answer. Raises Rejected when it was refused."""
        await self._until(
            lambda: cl_ord_id not in self._session.unanswered, f"request {cl_ord_id}"
        )
        refusal = self._refusals.pop(cl_ord_id, None)
        if refusal is not None:
            raise Rejected(refusal.reject_code, refusal.limit, refusal.value)

    async def reports(self) -> AsyncIterator[m.Outbound]:
        """Everything that is told from now on, in order."""
        while True:
            yield await self._reports.get()

    async def _run(self) -> None:
        while True:
            if await self._socket.poll(int(TICK_S * 1_000)):
                self._take(await self._socket.recv())
            self._session.tick(time.time_ns())
            await self._flush()
            async with self._changed:
                self._changed.notify_all()

    def _take(self, frame: bytes) -> None:
        for message in self._session.receive(frame, time.time_ns()):
            if isinstance(message, m.BusinessMessageReject | m.OrderCancelReject):
                self._refusals[message.cl_ord_id] = message
            if self._reports.full():
                self._reports.get_nowait()  # nobody reads them: keep the newest
            self._reports.put_nowait(message)

    async def _flush(self) -> None:
        while self._session.outbox:
            await self._socket.send(self._session.outbox.popleft())

    async def _until(self, done: Callable[[], bool], what: str) -> None:
        def done_or_ended() -> bool:
            return done() or self._session.ended is not None

        try:
            async with asyncio.timeout(self._timeout_s), self._changed:
                await self._changed.wait_for(done_or_ended)
        except TimeoutError:
            raise TimedOut(f"no answer to {what} within {self._timeout_s:g} s") from None
        if not done():
            self._session.check()
