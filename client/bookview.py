"""Rebuilds one instrument's book from market data. Pure: messages in, events and requests out.

Invariants: a message is applied once, in order of (epoch, rpt_seq), or not at all; a view that
misses something says so (`stale`) and asks for it until it has it: a retransmission of what is
missing, or a snapshot when it has nothing to build on or the publisher no longer keeps it.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rtes.common.enums import Channel, MdEntryType, MdUpdateAction
from rtes.common.marketdata import (
    CHANNEL_OF,
    RETRANSMIT_MESSAGES_MAX,
    ApplicationMessageRequest,
    ConflatedTop,
    MarketDataHeartbeat,
    MarketDataRequest,
    MarketDataRequestReject,
    OrderEntry,
    PriceLevel,
    Published,
    SecurityStatus,
    SnapshotFullRefresh,
    TopOfBook,
    Trade,
    Update,
    encode,
)

REQUEST_INTERVAL_NS: Final = 250_000_000
WHOLE: Final = (Channel.TOP, Channel.CONFLATED, Channel.STATUS)  # the latest message is all
Level = tuple[int, int, int]  # price in ticks, shown quantity in lots, orders


class RestingOrder(NamedTuple):
    """One order of the book, as far as it is shown: price in ticks, qty in lots."""

    md_entry_type: MdEntryType
    price: int
    qty: int


class Sequencer:
    """Puts the messages of one channel in order; holds back what comes after a gap."""

    def __init__(self, whole: bool) -> None:
        self.epoch = -1
        self.next: int | None = None  # None: nothing to build on
        self.gaps = 0
        self._whole = whole
        self._head = 0
        self._early: dict[int, Update] = {}

    @property
    def stale(self) -> bool:
        return self.next is None or self.next <= self._head

    def take(self, message: Update) -> list[Update]:
        """A message arrived; returns what is now in turn."""
        rpt_seq, was_stale = message.rpt_seq, self.stale
        if not self._heard(message.epoch, rpt_seq):
            return []
        if self.next is None or rpt_seq > self.next:
            if not self._whole:
                self.gaps += self.next is not None and not was_stale
                self._hold(message)
                return []
        elif rpt_seq < self.next:
            return []
        self.next = rpt_seq + 1
        return [message, *self._release()]

    def heartbeat(self, epoch: int, rpt_seq: int) -> None:
        """The publisher says how far the channel is."""
        was_stale = self.stale
        self._heard(epoch, rpt_seq)
        self.gaps += self.next is not None and self.stale and not was_stale

    def _heard(self, epoch: int, rpt_seq: int) -> bool:
        """The channel is at least at this number; False when the epoch is over."""
        if epoch < self.epoch:
            return False
        if epoch > self.epoch:
            self.epoch = epoch
            self.next = None
            self._head = 0
            self._early.clear()
        self._head = max(self._head, rpt_seq)
        return True

    def restart(self, epoch: int, rpt_seq: int) -> list[Update] | None:
        """A snapshot arrived; returns what is in turn after it, None when it is not news."""
        if not self._heard(epoch, rpt_seq) or (self.next is not None and rpt_seq < self.next):
            return None
        self.next = rpt_seq + 1
        for early in [n for n in self._early if n <= rpt_seq]:
            del self._early[early]
        return self._release()

    def _hold(self, message: Update) -> None:
        if len(self._early) >= RETRANSMIT_MESSAGES_MAX:
            self._early.clear()  # as much as the publisher keeps: only a snapshot helps
            self.next = None
        self._early[message.rpt_seq] = message

    def _release(self) -> list[Update]:
        released: list[Update] = []
        while self.next is not None and (message := self._early.pop(self.next, None)) is not None:
            released.append(message)
            self.next += 1
        return released


class BookView:
    """One instrument, as its channels show it. Which attributes are filled depends on the
    channels: bids and asks on depth, orders on orders, top on top or conflated."""

    def __init__(self, symbol: str, channels: Iterable[str]) -> None:
        self.symbol = symbol
        self.top: TopOfBook | None = None
        self.last_trade: Trade | None = None
        self.status: SecurityStatus | None = None
        self.orders: dict[int, RestingOrder] = {}  # by order_id; within a level by priority
        self._levels: dict[MdEntryType, dict[int, Level]] = {side: {} for side in MdEntryType}
        self._sequencers: dict[Channel, Sequencer] = {}
        self._partial: dict[Channel, tuple[int, int, list[Update]]] = {}
        self._asked_ns: dict[Channel, int] = {}
        self.follow(channels)

    def follow(self, channels: Iterable[str]) -> None:
        """These channels from now on; of those no longer followed nothing is kept but the top."""
        wanted = [Channel(c) for c in channels]
        for channel in [c for c in self._sequencers if c not in wanted]:
            del self._sequencers[channel]
            self._partial.pop(channel, None)
            self._asked_ns.pop(channel, None)
            self._clear(channel)
        for channel in wanted:
            self._sequencers.setdefault(channel, Sequencer(channel in WHOLE))

    @property
    def bids(self) -> list[Level]:
        """Best first, at most 10 levels: (price in ticks, shown lots, orders)."""
        return sorted(self._levels[MdEntryType.BID].values(), reverse=True)

    @property
    def asks(self) -> list[Level]:
        """As bids."""
        return sorted(self._levels[MdEntryType.OFFER].values())

    @property
    def stale(self) -> bool:
        """Something is missing; it has been or is being asked for."""
        return any(s.stale for s in self._sequencers.values())

    @property
    def gaps(self) -> int:
        """How often messages were missed."""
        return sum(s.gaps for s in self._sequencers.values())

    def apply(self, messages: Sequence[Published]) -> list[Published]:
        """Take one frame, live or an answer; returns what changed the view, in order. A
        SnapshotFullRefresh among the events says that a channel was rebuilt."""
        if messages and isinstance(messages[0], SnapshotFullRefresh):
            entries = [m for m in messages[1:] if isinstance(m, Update)]
            return self._snapshot(messages[0], entries)
        events: list[Published] = []
        for message in messages:
            if isinstance(message, MarketDataHeartbeat):
                if (sequencer := self._sequencers.get(message.channel)) is not None:
                    sequencer.heartbeat(message.epoch, message.rpt_seq)
            elif isinstance(message, MarketDataRequestReject):
                events.append(message)
            elif isinstance(message, Update):
                sequencer = self._sequencers.get(CHANNEL_OF[type(message)])
                if sequencer is not None:
                    events.extend(self._update(update) for update in sequencer.take(message))
        return events

    def _snapshot(self, head: SnapshotFullRefresh, entries: list[Update]) -> list[Published]:
        if head.channel not in self._sequencers:
            return []
        if head.first_report == 0:
            self._partial[head.channel] = (head.epoch, head.rpt_seq, [])
        epoch, rpt_seq, partial = self._partial.get(head.channel, (0, 0, []))
        if (epoch, rpt_seq, len(partial)) != (head.epoch, head.rpt_seq, head.first_report):
            return []  # a frame before this one was lost; it is asked for again
        partial.extend(entries)
        if len(partial) < head.tot_num_reports:
            return []
        del self._partial[head.channel]
        in_turn = self._sequencers[head.channel].restart(head.epoch, head.rpt_seq)
        if in_turn is None:
            return []
        self._clear(head.channel)
        for entry in partial:
            self._update(entry)
        return [head, *(self._update(update) for update in in_turn)]

    def _clear(self, channel: Channel) -> None:
        if channel is Channel.ORDERS:
            self.orders.clear()
        elif channel is Channel.DEPTH:
            for levels in self._levels.values():
                levels.clear()

    def _update(self, message: Update) -> Update:
        match message:
            case OrderEntry(md_update_action=MdUpdateAction.DELETE):
                self.orders.pop(message.order_id, None)
            case OrderEntry():
                self.orders[message.order_id] = RestingOrder(
                    message.md_entry_type, message.md_entry_px, message.md_entry_size
                )
            case PriceLevel(md_update_action=MdUpdateAction.DELETE):
                self._levels[message.md_entry_type].pop(message.md_entry_px, None)
            case PriceLevel(md_entry_px=price):
                level = (price, message.md_entry_size, message.number_of_orders)
                self._levels[message.md_entry_type][price] = level
            case Trade():
                self.last_trade = message
            case SecurityStatus():
                self.status = message
            case TopOfBook() | ConflatedTop():
                self._take_top(message)
        return message

    def _take_top(self, message: TopOfBook) -> None:
        """top and conflated number alike: the later of the two counts."""
        top = self.top
        if top is None or (message.epoch, message.rpt_seq) >= (top.epoch, top.rpt_seq):
            self.top = message

    def requests(self, now_ns: int) -> list[bytes]:
        """What to ask the snapshot service now; call it again and again while stale."""
        due = []
        for channel, sequencer in self._sequencers.items():
            asked_ns = self._asked_ns.get(channel)
            if not sequencer.stale:
                self._asked_ns.pop(channel, None)
            elif asked_ns is None or now_ns - asked_ns >= REQUEST_INTERVAL_NS:
                self._asked_ns[channel] = now_ns
                due.append(self._request(channel, sequencer))
        return due

    def _request(self, channel: Channel, sequencer: Sequencer) -> bytes:
        if sequencer.next is None or channel in WHOLE:
            return encode(MarketDataRequest(self.symbol, channel))
        return encode(
            ApplicationMessageRequest(self.symbol, channel, sequencer.epoch, sequencer.next)
        )
