"""Market data: what the publisher sends on each topic, and the snapshot and retransmission service.

Topics are `<channel>.<symbol>`; a frame after its topic is a batch: a msgpack array of flat
messages. Each carries the matcher's epoch and a rpt_seq, gapless per symbol and channel from 1 in
each epoch; the same block gives the same messages from every publisher, but none on a topic that
nobody wants. Stops, hidden quantity and accounts are invisible. Subscribe, then ask for a snapshot
(MarketDataRequest), then apply what has a higher rpt_seq; after a gap ask for the missing.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta
from rtes.common.enums import (
    Channel,
    MdEntryType,
    MdUpdateAction,
    SecurityTradingStatus,
    Side,
)
from rtes.common.fields import U63, Message, Request, Symbol, TimeNs, field

DEPTH_LEVELS: Final = 10  # a side; what lies behind is only in the orders channel
RETRANSMIT_MESSAGES_MAX: Final = 8_192  # kept per symbol and channel; beyond it: a snapshot
BATCH_ENTRIES_MAX: Final = 1_024  # messages in one frame of an answer
REQUEST_BYTES_MAX: Final = 256
HEARTBEAT_INTERVAL_NS: Final = 1_000_000_000
CONFLATION_INTERVAL_NS: Final = 100_000_000

Epoch = Annotated[U63, field("of the matcher; a higher one voids what was before", 0)]
RptSeq = Annotated[U63, field("number of the message, gapless per symbol and channel", 83)]
ListedSymbol = Annotated[str, field("instrument", 55)]
MdSide = Annotated[MdEntryType, field("side of the book", 269)]
EntryPx = Annotated[U63, field("price", 270, "ticks")]
EntrySize = Annotated[U63, field("shown quantity", 271, "lots")]
TransactTime = Annotated[TimeNs, field("when, by the exchange's clock", 60, "ns UTC")]
AnyChannel = Annotated[Channel, field("channel", 1180)]


class TopOfBook(Message, frozen=True, tag="X1"):
    """Channel top: best bid and offer, whole, so the latest one is all that is needed. Changes
    within one block of the matcher are merged into the last."""

    epoch: Epoch
    rpt_seq: RptSeq
    symbol: ListedSymbol
    bid_px: Annotated[U63, field("best bid; 0 for none", 270, "ticks")]
    bid_size: Annotated[U63, field("shown there", 271, "lots")]
    bid_orders: Annotated[U63, field("orders there", 346)]
    offer_px: Annotated[U63, field("best offer; 0 for none", 270, "ticks")]
    offer_size: Annotated[U63, field("shown there", 271, "lots")]
    offer_orders: Annotated[U63, field("orders there", 346)]
    transact_time: TransactTime


class ConflatedTop(TopOfBook, frozen=True, tag="XC"):
    """Channel conflated: the latest TopOfBook at most 10 times a second, repeated every second
    when nothing changes. rpt_seq is that of the channel top, so it skips: nothing is ever missing.
    Trades are never conflated."""


class PriceLevel(Message, frozen=True, tag="X2"):
    """Channel depth: one of the best 10 price levels of a side came, changed or went (also by
    leaving the best 10). Changes within one block of the matcher are merged; a frame holds all
    changes of its blocks, so the book is right after a frame, not within it."""

    epoch: Epoch
    rpt_seq: RptSeq
    symbol: ListedSymbol
    md_update_action: Annotated[MdUpdateAction, field("what happened to the level", 279)]
    md_entry_type: MdSide
    md_price_level: Annotated[
        U63, field("1 is best: position after the block; before it for Delete", 1023)
    ]
    md_entry_px: EntryPx
    md_entry_size: EntrySize
    number_of_orders: Annotated[U63, field("orders at the level", 346)]
    transact_time: TransactTime


class OrderEntry(Message, frozen=True, tag="X3"):
    """Channel orders: one order's shown part came, changed or went by one command; never merged
    further. A Change keeps its place in the queue; a loss of priority is a Delete and a New."""

    epoch: Epoch
    rpt_seq: RptSeq
    symbol: ListedSymbol
    md_update_action: Annotated[MdUpdateAction, field("what happened to the order", 279)]
    md_entry_type: MdSide
    order_id: Annotated[U63, field("as in the owner's reports", 37)]
    md_entry_px: EntryPx
    md_entry_size: Annotated[U63, field("shown quantity; 0 in Delete", 271, "lots")]
    transact_time: TransactTime


class Trade(Message, frozen=True, tag="XT"):
    """Channel trades: one trade; never merged."""

    epoch: Epoch
    rpt_seq: RptSeq
    symbol: ListedSymbol
    md_entry_px: EntryPx
    md_entry_size: Annotated[U63, field("traded quantity", 271, "lots")]
    aggressor_side: Annotated[Side, field("side of the incoming order", 2446)]
    trd_match_id: Annotated[U63, field("as in the reports of both sides", 880)]
    transact_time: TransactTime


class SecurityStatus(Message, frozen=True, tag="f"):
    """Channel status: trading in the instrument was halted or resumed."""

    epoch: Epoch
    rpt_seq: RptSeq
    symbol: ListedSymbol
    security_trading_status: Annotated[SecurityTradingStatus, field("now", 326)]
    transact_time: TransactTime


class MarketDataHeartbeat(Message, frozen=True, tag="0"):
    """Sent on a topic that was quiet for a second: its last rpt_seq, so that a lost tail shows."""

    epoch: Epoch
    rpt_seq: RptSeq
    symbol: ListedSymbol
    channel: AnyChannel


class SnapshotFullRefresh(Message, frozen=True, tag="W"):
    """Heads each frame of a snapshot: the channel's state after rpt_seq. Entries follow in the
    frame as the channel's own messages with md_update_action New: levels best first, the
    orders of a level by priority. trades holds the last trade, if any."""

    epoch: Epoch
    rpt_seq: RptSeq
    symbol: ListedSymbol
    channel: AnyChannel
    tot_num_reports: Annotated[U63, field("entries of the whole snapshot", 911)]
    first_report: Annotated[U63, field("entries in the frames before this one", 0)]


class MarketDataRequestReject(Message, frozen=True, tag="Y"):
    """The request could not be read, or its symbol is not listed."""

    symbol: ListedSymbol
    channel: Annotated[str, field("as asked", 1180)]
    md_req_rej_reason: Annotated[str, field("0 unknown symbol, Z malformed request", 281)]


class MarketDataRequest(Request, frozen=True, tag="V"):
    """Asks for a snapshot of one channel of one symbol."""

    symbol: Symbol
    channel: AnyChannel


class ApplicationMessageRequest(Request, frozen=True, tag="BW"):
    """Asks for the messages from a rpt_seq on. Answered by frames of the same messages in order,
    by a MarketDataHeartbeat when there are none, or by a snapshot when the epoch is over or the
    messages are no longer kept (8,192 are)."""

    symbol: Symbol
    channel: AnyChannel
    epoch: Annotated[int, Meta(ge=0, le=2**63 - 1), field("of the numbers meant", 0)]
    appl_beg_seq_num: Annotated[
        int, Meta(ge=1, le=2**63 - 1), field("first rpt_seq wanted", 1182)
    ]


Update = TopOfBook | ConflatedTop | PriceLevel | OrderEntry | Trade | SecurityStatus
Published = Update | MarketDataHeartbeat | SnapshotFullRefresh | MarketDataRequestReject
MarketDataQuery = MarketDataRequest | ApplicationMessageRequest

CHANNEL_OF: Final[dict[type, Channel]] = {
    TopOfBook: Channel.TOP,
    ConflatedTop: Channel.CONFLATED,
    PriceLevel: Channel.DEPTH,
    OrderEntry: Channel.ORDERS,
    Trade: Channel.TRADES,
    SecurityStatus: Channel.STATUS,
}
TAG_OF: Final = {
    c: str(t.__struct_config__.tag)  # type: ignore[attr-defined]
    for t, c in CHANNEL_OF.items()
}

encode = msgspec.msgpack.Encoder().encode
decode_batch = msgspec.msgpack.Decoder(list[Published]).decode
decode_query = msgspec.msgpack.Decoder(MarketDataQuery).decode


def topic_of(channel: str, symbol: str) -> bytes:
    """What to subscribe to. ZeroMQ matches prefixes: compare the whole topic on receipt."""
    return f"{channel}.{symbol}".encode()
