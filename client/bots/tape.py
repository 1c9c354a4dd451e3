"""The markets as last published: what every bot's view is made of."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from rtes.client import MarketData
from rtes.client.bots.view import Market
from rtes.common.marketdata import Published, Trade
from rtes.common.messages import SecurityList

TRADES_KEPT: Final = 50


def market_of(instrument: SecurityList) -> Market:
    """The instrument before anything is known of its book."""
    lot = instrument.round_lot
    unit = -(-instrument.min_trade_vol // lot) * lot
    reference = instrument.trading_reference_price
    return Market(instrument.symbol, reference, instrument.min_price_increment, unit)


class Tape:
    """Follows the top of the books and the trades of the instruments."""

    def __init__(self, feed: MarketData, instruments: Mapping[str, SecurityList]) -> None:
        self.feed = feed
        self._bare = {symbol: market_of(i) for symbol, i in instruments.items()}
        self._trades: dict[str, deque[int]] = {s: deque(maxlen=TRADES_KEPT) for s in instruments}

    def poll(self, timeout_s: float) -> None:
        """Take what was published, waiting up to timeout_s for something."""
        self.take(self.feed.poll(timeout_s))

    def take(self, events: Iterable[Published]) -> None:
        for event in events:
            if isinstance(event, Trade):
                self._trades[event.symbol].append(event.md_entry_px)

    def markets(self) -> dict[str, Market]:
        """All of them, as of the last poll."""
        return {symbol: self._market(bare) for symbol, bare in self._bare.items()}

    def _market(self, bare: Market) -> Market:
        trades = tuple(self._trades[bare.symbol])
        top = self.feed.books[bare.symbol].top
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
