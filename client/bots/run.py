"""The shell of the bots: one process, one loop, one session per bot, turn by turn.

A turn: take the bot's reports, let its core decide on the present view, send. A bot has one turn
in flight: it decides again only when everything it sent was answered. The rate bounds the
messages of all bots together. When the exchange goes away the loop says so once and goes on when
it is back; at the end every bot cancels its orders.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from rtes.client import Client, MarketData
from rtes.client.bots.view import Market
from rtes.common.enums import Channel
from rtes.common.marketdata import Published, Trade
from rtes.common.messages import (
    BusinessMessageReject,
    ExecutionReport,
    OrderCancelReject,
    SecurityList,
)
from rtes.common.refusals import Code, explain

TRADES_KEPT: Final = 50
RETRY_S: Final = 1.0
REST_S_FIRST: Final = 1.0  # after a refusal; doubles up to the last
REST_S_LAST: Final = 60.0
ROUTINE: Final = (Code.TOO_LATE, Code.UNKNOWN_ORDER, Code.NO_LIQUIDITY)  # a fill came first
PUBLISHED: Final = (Channel.TOP, Channel.TRADES)

log = logging.getLogger("rtes.bots")
Connect = Callable[..., Client]


def market_of(instrument: SecurityList) -> Market:
    """The instrument before anything is known of its book."""
    lot = instrument.round_lot
    unit = -(-instrument.min_trade_vol // lot) * lot
    reference = instrument.trading_reference_price
    return Market(instrument.symbol, reference, instrument.min_price_increment, unit)


class Tape:
    """The markets as last published."""

    def __init__(self, feed: MarketData, instruments: Mapping[str, SecurityList]) -> None:
        self._feed = feed
        self._bare = {symbol: market_of(i) for symbol, i in instruments.items()}
        self._trades: dict[str, deque[int]] = {s: deque(maxlen=TRADES_KEPT) for s in instruments}

    def poll(self, timeout_s: float) -> None:
        self.take(self._feed.poll(timeout_s))

    def take(self, events: Sequence[Published]) -> None:
        for event in events:
            if isinstance(event, Trade):
                self._trades[event.symbol].append(event.md_entry_px)

    def markets(self) -> dict[str, Market]:
        return {symbol: self._market(bare) for symbol, bare in self._bare.items()}

    def _market(self, bare: Market) -> Market:
        trades = tuple(self._trades[bare.symbol])
        top = self._feed.books[bare.symbol].top
        if top is None:
            return replace(bare, trades=trades)
        return replace(
            bare,
            bid=top.bid_px,
            bid_qty=top.bid_size,
            ask=top.offer_px,
            ask_qty=top.offer_size,
            trades=trades,
        )


@dataclass
class Refusals:
    """Rests a bot that is refused, longer each time in a row; logs each code once a bot."""

    account: str
    counts: Counter[int] = field(default_factory=Counter)
    until_s: float = 0.0
    _rest_s: float = REST_S_FIRST

    def tell(self, report: object, now_s: float) -> None:
        refusal = isinstance(report, ExecutionReport | OrderCancelReject | BusinessMessageReject)
        if not refusal:
            return
        if not report.reject_code or report.reject_code in ROUTINE:
            self._rest_s = REST_S_FIRST if now_s >= self.until_s else self._rest_s
            return
        self.counts[report.reject_code] += 1
        if self.counts[report.reject_code] == 1:
            text = explain(report.reject_code, report.limit, report.value)
            log.warning("%s was refused: %s", self.account, text)
        if now_s >= self.until_s:
            self.until_s = now_s + self._rest_s
            self._rest_s = min(self._rest_s * 2, REST_S_LAST)
