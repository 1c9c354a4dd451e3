"""One bot: a decision core, the session it trades through, and what to do when it is refused.

A bot has one turn in flight: it decides again only when everything it sent was answered. After a
refusal that it could repeat it rests, longer each time in a row. Its core and its chance outlive
its sessions.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rtes.client import Client, NotConnected
from rtes.client.bots.roster import Post
from rtes.client.bots.view import Market, OpenOrder, View
from rtes.common.messages import (
    BusinessMessageReject,
    ExecutionReport,
    Logout,
    OrderCancelReject,
)
from rtes.common.refusals import Code, explain

REST_S_FIRST: Final = 1.0
REST_S_MAX: Final = 60.0
SILENCE_S_MAX: Final = 15.0  # without an answer: begin again with a new session
# somebody was faster, or the gateway restarted and the session logs on again by itself
ROUTINE: Final = (
    Code.TOO_LATE,
    Code.UNKNOWN_ORDER,
    Code.NO_LIQUIDITY,
    Code.QTY_BELOW_FILLED,
    Code.NOT_LOGGED_ON,
)

log = logging.getLogger("rtes.bots")


class Refusals:
    """What a bot was refused, and until when it rests for it."""

    def __init__(self, account: str) -> None:
        self.counts: Counter[int] = Counter()
        self.until_s = 0.0
        self._account = account
        self._rest_s = REST_S_FIRST

    def tell(self, report: object, now_s: float) -> None:
        """Take a report of any kind; the first refusal of each code is logged."""
        if not isinstance(report, ExecutionReport | OrderCancelReject | BusinessMessageReject):
            return
        if report.reject_code in ROUTINE or now_s < self.until_s:
            return
        if not report.reject_code:
            self._rest_s = REST_S_FIRST
            return
        self.counts[report.reject_code] += 1
        if self.counts[report.reject_code] == 1:
            text = explain(report.reject_code, report.limit, report.value)
            log.warning("%s was refused: %s", self._account, text)
        self.until_s = now_s + self._rest_s
        self._rest_s = min(self._rest_s * 2, REST_S_MAX)


class Bot:
    """Trades for one account, from `begin` to `end`, any number of times."""

    def __init__(self, post: Post, symbols: Sequence[str], seed: int) -> None:
        self.account = post.account
        self.refusals = Refusals(post.account)
        self.sent = 0
        self._core = post.make(symbols)
        self._rng = post.rng(seed)
        self._client: Client | None = None
        self._before: dict[str, int] = {}  # positions from before the session
        self._answered_s = 0.0
        self._ended: str | None = None

    def begin(self, connect: Callable[..., Client]) -> None:
        """Log on and start from no open orders. Raises RtesError."""
        self._ended = None
        client = connect(self.account, on_report=self._told)
        self._client = client
        client.cancel_all()
        held = {r.symbol: r.net_qty for r in client.account_usage() if r.symbol}
        told = {symbol: p.qty for symbol, p in client.positions.items()}
        self._before = {symbol: qty - told.get(symbol, 0) for symbol, qty in held.items()}
        self._answered_s = time.monotonic()

    def turn(self, markets: Mapping[str, Market]) -> int:
        """Decide and send; returns the number of messages. Raises RtesError."""
        client = self._client
        assert client is not None
        client.poll()
        now_s = time.monotonic()
        if self._ended is not None:
            raise NotConnected(f"the exchange ended the session of {self.account}: {self._ended}")
        if client.in_flight:
            if now_s - self._answered_s > SILENCE_S_MAX:
                raise NotConnected(f"{self.account} got no answer for {SILENCE_S_MAX:.0f} s")
            return 0
        self._answered_s = now_s
        if now_s < self.refusals.until_s:
            return 0
        view = View(markets, client.next_id(), self._orders(client), self._positions(client))
        messages = self._core.on_tick(view, self._rng, time.time_ns())
        for _ in messages[1:]:
            client.next_id()  # the core used them
        if messages:
            client.send(messages)
            self.sent += len(messages)
        return len(messages)

    def end(self, cancel: bool) -> None:
        """Close the session; cancel: first all open orders. Raises RtesError."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            if cancel and self._ended is None:
                client.cancel_all()
        finally:
            client.close()

    def _told(self, report: object) -> None:
        if isinstance(report, Logout):
            self._ended = report.text
        self.refusals.tell(report, time.monotonic())

    @staticmethod
    def _orders(client: Client) -> list[OpenOrder]:
        """The open orders; forgets the others, which would pile up over the hours."""
        for cl_ord_id in [i for i, order in client.orders.items() if order.done]:
            del client.orders[cl_ord_id]
        return [
            OpenOrder(o.cl_ord_id, o.symbol, o.side, o.price, o.leaves, o.cum)
            for o in client.open_orders
        ]

    def _positions(self, client: Client) -> dict[str, int]:
        positions = dict(self._before)
        for symbol, position in client.positions.items():
            positions[symbol] = positions.get(symbol, 0) + position.qty
        return positions
