"""The books as the market data service shows them, for the page: asked once a second. Pure."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from rtes.common.enums import Channel, MdEntryType
from rtes.common.marketdata import (
    MarketDataRequest,
    PriceLevel,
    SnapshotFullRefresh,
    Trade,
    decode_batch,
    encode,
)
from rtes.common.refdata import Instrument

LEVELS_MAX: Final = 5
Book = dict[str, Any]


class Books:
    """The latest snapshot of each instrument: bids and offers as [price, quantity, orders] with
    the best first, and the last trade as [price, quantity]; prices are decimal text; known is
    False until market data has answered."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._instruments = {i.symbol: i for i in instruments}
        self._books: dict[str, Book] = {
            symbol: {"symbol": symbol, "known": False, "bids": [], "offers": [], "last": None}
            for symbol in self._instruments
        }

    def requests(self) -> list[tuple[int, bytes]]:
        """(matcher shard, what to ask its market data now)."""
        return [
            (instrument.shard, encode(MarketDataRequest(symbol, channel)))
            for symbol, instrument in self._instruments.items()
            for channel in (Channel.DEPTH, Channel.TRADES)
        ]

    def take(self, frame: bytes) -> None:
        """An answer; what is not one is passed over."""
        try:
            messages = decode_batch(frame)
        except ValueError:
            return
        head = messages[0] if messages else None
        if not isinstance(head, SnapshotFullRefresh) or head.symbol not in self._books:
            return
        instrument, book = self._instruments[head.symbol], self._books[head.symbol]
        if head.channel == Channel.DEPTH:
            sides: dict[str, list[Any]] = {"bids": [], "offers": []}
            for level in messages[1:]:
                if isinstance(level, PriceLevel):
                    side = "bids" if level.md_entry_type == MdEntryType.BID else "offers"
                    row = price(instrument, level.md_entry_px), level.md_entry_size
                    sides[side].append([*row, level.number_of_orders])
            book |= {side: rows[:LEVELS_MAX] for side, rows in sides.items()} | {"known": True}
        for trade in messages[1:]:
            if isinstance(trade, Trade):
                book["last"] = [price(instrument, trade.md_entry_px), trade.md_entry_size]

    def tree(self) -> list[Book]:
        """All books, in the order of the instruments."""
        return list(self._books.values())


def price(instrument: Instrument, ticks: int) -> str:
    """Decimal text in the instrument's currency."""
    return f"{ticks * Decimal(instrument.tick_size):f}"
