"""What the market sees of one instrument, and the messages that tell its changes. Pure.

Invariants: messages are a function of the blocks alone, so every publisher numbers alike; what is
not shown (stops, hidden quantity, accounts) is never told. Trades and orders are told per command,
levels and top of book per block, as the replica's book has them then.
"""

from typing import Any, Final

from rtes.common.enums import Channel, SecurityTradingStatus, Side
from rtes.common.marketdata import DEPTH_LEVELS, TAG_OF, encode, topic_of
from rtes.services.marketdata.replica import (
    R_EXEC_TYPE,
    R_LAST_PX,
    R_LAST_QTY,
    R_LIQUIDITY,
    R_SIDE,
    R_TRD_MATCH_ID,
)
from rtes.services.marketdata.shown import BID, CHANGE, DELETE, NEW, OFFER, ShownOrders
from rtes.services.marketdata.streams import Stream, snapshot_frames
from rtes.services.matcher.book import Book
from rtes.services.matcher.reporter import REMOVED, TRADE, Event

Level = tuple[int, int, int]  # price in ticks, shown lots, orders
SIDES: Final = ((BID, str(Side.BUY), 1), (OFFER, str(Side.SELL), -1))
NO_LEVEL: Level = (0, 0, 0)


class Market:
    """One instrument's streams and the state they have told. book is the replica's."""

    def __init__(self, book: Book) -> None:
        self.symbol = symbol = book.symbol
        self.conflated_topic = topic_of(Channel.CONFLATED, symbol)
        self._book = book
        numbered = (c for c in Channel if c is not Channel.CONFLATED)
        self.streams = {channel: Stream(channel, symbol) for channel in numbered}
        self._orders = ShownOrders()
        self._trades = self.streams[Channel.TRADES]
        self._changes = self.streams[Channel.ORDERS]
        self._levels = self.streams[Channel.DEPTH]
        self._depth: dict[str, list[Level]] = {BID: [], OFFER: []}
        self._stale: set[str] = set()  # sides whose told levels may have changed
        self._top: tuple[int, ...] = (*NO_LEVEL, *NO_LEVEL, 0)  # TopOfBook after symbol
        self._last_trade: list[tuple[Any, ...]] = []
        self._status: tuple[int, int] = (SecurityTradingStatus.READY_TO_TRADE, 0)
        self._time_ns = 0

    def executed(self, events: list[Event], time_ns: int) -> None:
        """One command did this; tell its trades and the orders it changed."""
        for report, _order in events:
            # each trade is in two reports; the incoming order's tells it
            if report[R_EXEC_TYPE] == TRADE and report[R_LIQUIDITY] == REMOVED:
                price, qty, side = report[R_LAST_PX], report[R_LAST_QTY], report[R_SIDE]
                trade = (price, qty, side, report[R_TRD_MATCH_ID])
                self._trades.add(trade, time_ns)
                self._last_trade = [(*trade, time_ns)]
        for change in self._orders.update(events):
            self._changes.add(change, time_ns)
            if self._in_depth(change[1], change[3]):
                self._stale.add(change[1])

    def _in_depth(self, entry: str, price: int) -> bool:
        """Is a level at price one of those that are told?"""
        told = self._depth[entry]
        if len(told) < DEPTH_LEVELS:
            return True
        worst = told[-1][0]
        return price >= worst if entry == BID else price <= worst

    def trading_status(self, status: SecurityTradingStatus, time_ns: int) -> None:
        """Trading was halted or resumed."""
        self._status = (status, time_ns)
        self.streams[Channel.STATUS].add((status,), time_ns)

    def refresh(self, time_ns: int) -> bool:
        """Tell how levels and top differ from what was told last; True when the top does."""
        self._time_ns = time_ns
        if not self._stale:
            return False
        best: list[int] = []
        for entry, side, sign in SIDES:
            told = self._depth[entry]
            if entry in self._stale:
                before, told = told, self._book.depth(side, DEPTH_LEVELS)
                self._depth[entry] = told
                for action, position, level in level_changes(before, told, sign):
                    self._levels.add((action, entry, position, *level), time_ns)
            best += told[0] if told else NO_LEVEL
        self._stale.clear()
        if tuple(best) == self._top[:-1]:
            return False
        self._top = (*best, time_ns)
        self.streams[Channel.TOP].add(tuple(best), time_ns)
        return True

    def restart(self, epoch: int) -> None:
        """A new epoch of the matcher: the state stays, its numbering starts again."""
        for stream in self.streams.values():
            stream.restart(epoch)

    def state(self) -> list[Any]:
        """What a publisher that starts from a snapshot must know; `restore` takes it in."""
        numbers = [(s.epoch, s.rpt_seq) for s in self.streams.values()]
        orders = self._orders.state()
        return [numbers, orders, self._top, self._last_trade, self._status, self._time_ns]

    def restore(self, saved: list[Any]) -> None:
        numbers, orders, top, last_trade, status, self._time_ns = saved
        for stream, (epoch, rpt_seq) in zip(self.streams.values(), numbers, strict=True):
            stream.epoch, stream.rpt_seq = epoch, rpt_seq
        self._orders.restore(orders)
        self._depth = {entry: self._book.depth(side, DEPTH_LEVELS) for entry, side, _ in SIDES}
        self._top, self._status = tuple(top), (status[0], status[1])
        self._last_trade = [tuple(trade) for trade in last_trade]

    def heartbeat(self, channel: Channel) -> bytes:
        """The frame for a quiet topic."""
        if channel is Channel.CONFLATED:
            return self.conflated()
        return self.streams[channel].heartbeat()

    def conflated(self) -> bytes:
        """The frame that tells the top as it is now."""
        top = self.streams[Channel.TOP]
        stamp = (TAG_OF[Channel.CONFLATED], top.epoch, top.rpt_seq, self.symbol)
        return encode([(*stamp, *self._top)])

    def snapshot(self, channel: Channel) -> list[bytes]:
        """Frames of the channel's state."""
        if channel is Channel.CONFLATED:
            top = self.streams[Channel.TOP]
            stamp = (TAG_OF[channel], top.epoch, top.rpt_seq, self.symbol, channel)
            return snapshot_frames(*stamp, [self._top])
        return self.streams[channel].snapshot(lambda: self._entries(channel))

    def _entries(self, channel: Channel) -> list[tuple[Any, ...]]:
        """The channel's state as the fields of its messages after symbol."""
        match channel:
            case Channel.TRADES:
                return self._last_trade
            case Channel.STATUS:
                return [self._status]
            case Channel.DEPTH:
                return [
                    (NEW, entry, position, *level, self._time_ns)
                    for entry, levels in self._depth.items()
                    for position, level in enumerate(levels, start=1)
                ]
            case Channel.ORDERS:
                return [(*order, self._time_ns) for order in self._orders.entries()]
        return [self._top]


def level_changes(
    before: list[Level], now: list[Level], sign: int
) -> list[tuple[str, int, Level]]:
    """(action, position, level) that lead from one side to the other, deletions first. Both are
    sorted, the best first; sign is 1 for bids and -1 for offers."""
    deleted: list[tuple[str, int, Level]] = []
    told: list[tuple[str, int, Level]] = []
    i = j = 0
    while i < len(before) and j < len(now):
        old, new = before[i], now[j]
        ahead = sign * (old[0] - new[0])
        if ahead > 0:
            i += 1
            deleted.append((DELETE, i, (old[0], 0, 0)))
        elif ahead < 0:
            j += 1
            told.append((NEW, j, new))
        else:
            i += 1
            j += 1
            if old[1] != new[1] or old[2] != new[2]:
                told.append((CHANGE, j, new))
    deleted += [(DELETE, at + 1, (before[at][0], 0, 0)) for at in range(i, len(before))]
    told += [(NEW, at + 1, now[at]) for at in range(j, len(now))]
    return deleted + told
