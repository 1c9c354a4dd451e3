"""What a subscriber makes of what arrives, and of what does not."""

from rtes.client.bookview import REQUEST_INTERVAL_NS, BookView
from rtes.common.enums import Channel, MdEntryType, MdUpdateAction, Side
from rtes.common.marketdata import (
    RETRANSMIT_MESSAGES_MAX,
    ApplicationMessageRequest,
    MarketDataHeartbeat,
    MarketDataRequest,
    OrderEntry,
    PriceLevel,
    SnapshotFullRefresh,
    TopOfBook,
    Trade,
    decode_query,
)

BID, OFFER = MdEntryType.BID, MdEntryType.OFFER
NEW, CHANGE, DELETE = MdUpdateAction


def trade(rpt_seq: int, epoch: int = 1) -> Trade:
    return Trade(epoch, rpt_seq, "AAPL", 100 + rpt_seq, 5, Side.BUY, rpt_seq, 0)


def top(rpt_seq: int, bid_px: int, epoch: int = 1) -> TopOfBook:
    return TopOfBook(epoch, rpt_seq, "AAPL", bid_px, 5, 1, 110, 5, 1, 0)


def level(rpt_seq: int, action: MdUpdateAction, side: MdEntryType, px: int, qty: int) -> PriceLevel:
    return PriceLevel(1, rpt_seq, "AAPL", action, side, 1, px, qty, 1, 0)


def order(rpt_seq: int, action: MdUpdateAction, order_id: int, qty: int) -> OrderEntry:
    return OrderEntry(1, rpt_seq, "AAPL", action, BID, order_id, 100, qty, 0)


def head(
    channel: Channel, rpt_seq: int, total: int = 0, first: int = 0, epoch: int = 1
) -> SnapshotFullRefresh:
    return SnapshotFullRefresh(epoch, rpt_seq, "AAPL", channel, total, first)


def started(channel: Channel, rpt_seq: int = 0) -> BookView:
    view = BookView("AAPL", [channel])
    view.apply([head(channel, rpt_seq)])
    return view


def queries(view: BookView, now_ns: int = 0) -> list[object]:
    return [decode_query(request) for request in view.requests(now_ns)]


def test_new_view_is_stale_and_asks_for_a_snapshot() -> None:
    view = BookView("AAPL", ["depth"])
    assert view.stale
    assert queries(view) == [MarketDataRequest("AAPL", Channel.DEPTH)]


def test_messages_before_the_snapshot_are_kept_and_those_it_covers_dropped() -> None:
    view = BookView("AAPL", ["trades"])
    assert view.apply([trade(4), trade(5), trade(6)]) == []
    snapshot = head(Channel.TRADES, 5, 1)
    assert view.apply([snapshot, trade(5)]) == [snapshot, trade(6)]
    assert not view.stale
    assert view.last_trade == trade(6)


def test_depth_levels_come_change_and_go() -> None:
    view = started(Channel.DEPTH)
    view.apply([level(1, NEW, BID, 100, 5), level(2, NEW, BID, 101, 6)])
    view.apply([level(3, NEW, OFFER, 103, 1)])
    assert (view.bids, view.asks) == ([(101, 6, 1), (100, 5, 1)], [(103, 1, 1)])
    view.apply([level(4, DELETE, BID, 101, 0), level(5, CHANGE, BID, 100, 7)])
    assert view.bids == [(100, 7, 1)]


def test_order_that_changes_keeps_its_place_and_one_that_comes_again_does_not() -> None:
    view = started(Channel.ORDERS)
    view.apply([order(1, NEW, 7, 5), order(2, NEW, 8, 5), order(3, CHANGE, 7, 4)])
    assert list(view.orders) == [7, 8]
    view.apply([order(4, DELETE, 7, 0), order(5, NEW, 7, 9)])
    assert list(view.orders) == [8, 7]


def test_gap_asks_for_exactly_what_is_missing_and_goes_on_in_order() -> None:
    view = started(Channel.TRADES)
    view.apply([trade(1)])
    assert view.apply([trade(4)]) == []
    assert view.stale
    assert view.gaps == 1
    assert queries(view) == [ApplicationMessageRequest("AAPL", Channel.TRADES, 1, 2)]
    assert view.apply([trade(2), trade(3), trade(4)]) == [trade(2), trade(3), trade(4)]
    assert not view.stale


def test_unanswered_question_is_asked_again_but_not_at_once() -> None:
    view = BookView("AAPL", ["depth"])
    assert len(queries(view, 10)) == 1
    assert queries(view, 10 + REQUEST_INTERVAL_NS - 1) == []
    assert len(queries(view, 10 + REQUEST_INTERVAL_NS)) == 1


def test_heartbeat_reveals_a_lost_tail() -> None:
    view = started(Channel.TRADES)
    view.apply([trade(1)])
    view.apply([MarketDataHeartbeat(1, 1, "AAPL", Channel.TRADES)])
    assert not view.stale
    view.apply([MarketDataHeartbeat(1, 2, "AAPL", Channel.TRADES)])
    assert view.stale


def test_repetitions_and_older_snapshots_change_nothing() -> None:
    view = started(Channel.TRADES)
    view.apply([trade(1), trade(2)])
    assert view.apply([trade(1), trade(2)]) == []
    assert view.apply([head(Channel.TRADES, 1, 1), trade(1)]) == []
    assert view.last_trade == trade(2)


def test_new_epoch_voids_the_old_and_the_old_one_is_not_heard_again() -> None:
    view = started(Channel.TRADES)
    view.apply([trade(1)])
    assert view.apply([trade(1, epoch=2)]) == []
    assert queries(view) == [MarketDataRequest("AAPL", Channel.TRADES)]
    assert view.apply([trade(2, epoch=1)]) == []
    snapshot = head(Channel.TRADES, 0, epoch=2)
    assert view.apply([snapshot]) == [snapshot, trade(1, epoch=2)]
    assert not view.stale


def test_top_needs_only_its_latest_message() -> None:
    view = BookView("AAPL", ["top"])
    view.apply([top(3, 100)])
    assert not view.stale
    view.apply([top(7, 101), top(6, 99)])
    assert view.top == top(7, 101)
    assert not view.stale
    view.apply([MarketDataHeartbeat(1, 8, "AAPL", Channel.TOP)])
    assert queries(view) == [MarketDataRequest("AAPL", Channel.TOP)]


def test_snapshot_with_a_lost_frame_is_not_applied() -> None:
    view = BookView("AAPL", ["orders"])
    assert view.apply([head(Channel.ORDERS, 9, 3), order(9, NEW, 1, 1)]) == []
    assert view.apply([head(Channel.ORDERS, 9, 3, 2), order(9, NEW, 3, 1)]) == []
    assert view.stale
    view.apply([head(Channel.ORDERS, 9, 3), order(9, NEW, 1, 1)])
    view.apply([head(Channel.ORDERS, 9, 3, 1), order(9, NEW, 2, 1)])
    view.apply([head(Channel.ORDERS, 9, 3, 2), order(9, NEW, 3, 1)])
    assert list(view.orders) == [1, 2, 3]


def test_view_far_behind_gives_up_on_retransmission() -> None:
    view = started(Channel.TRADES)
    view.apply([trade(n) for n in range(2, RETRANSMIT_MESSAGES_MAX + 3)])
    assert queries(view) == [MarketDataRequest("AAPL", Channel.TRADES)]
