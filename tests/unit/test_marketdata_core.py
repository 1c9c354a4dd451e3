"""What the public is told of what the matcher did."""

from typing import Any

import pytest
from rtes.common import feed
from rtes.common.enums import Channel, MdEntryType, MdUpdateAction, SecurityTradingStatus, Side
from rtes.common.invariant import InvariantError
from rtes.common.marketdata import (
    CONFLATION_INTERVAL_NS,
    HEARTBEAT_INTERVAL_NS,
    RETRANSMIT_MESSAGES_MAX,
    ApplicationMessageRequest,
    ConflatedTop,
    MarketDataHeartbeat,
    MarketDataRequest,
    MarketDataRequestReject,
    OrderEntry,
    PriceLevel,
    SecurityStatus,
    SnapshotFullRefresh,
    TopOfBook,
    Trade,
    decode_batch,
    encode,
)
from rtes.common.records import Command
from rtes.services.marketdata import shell
from rtes.services.marketdata.core import OFFER_NS, MarketDataCore
from rtes.services.matcher.engine import Engine

from tests.marketdata_blocks import INSTRUMENTS, START_NS, Sequencer, new_core, order

BID, OFFER = MdEntryType.BID, MdEntryType.OFFER
NEW, CHANGE, DELETE = MdUpdateAction
BUY, SELL = "1", "2"


class Exchange:
    """A matcher and its market data; time stands still unless a test moves it."""

    def __init__(self) -> None:
        self.sequencer = Sequencer()
        self.core = new_core()

    def told(self, *commands: Command) -> dict[str, list[Any]]:
        """Execute commands as one block: messages by topic."""
        self.core.handle_block(self.sequencer.block(commands))
        return self.published(START_NS)

    def published(self, now_ns: int) -> dict[str, list[Any]]:
        return {t.decode(): list(decode_batch(f)) for t, f in self.core.flush(now_ns)}


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


def actions(messages: list[OrderEntry]) -> list[tuple[MdUpdateAction, int, int, int]]:
    return [(m.md_update_action, m.order_id, m.md_entry_px, m.md_entry_size) for m in messages]


def ask(core: MarketDataCore, request: object) -> list[Any]:
    return [m for frame in core.handle_request(encode(request)) for m in decode_batch(frame)]


def test_resting_order_is_told_on_top_depth_and_orders(exchange: Exchange) -> None:
    told = exchange.told(order(1, 1, BUY, 5, 100))
    assert told == {
        "top.AAPL": [TopOfBook(1, 1, "AAPL", 100, 5, 1, 0, 0, 0, START_NS + 1)],
        "depth.AAPL": [PriceLevel(1, 1, "AAPL", NEW, BID, 1, 100, 5, 1, START_NS + 1)],
        "orders.AAPL": [OrderEntry(1, 1, "AAPL", NEW, BID, 1, 100, 5, START_NS + 1)],
    }


def test_trade_is_told_once_at_the_resting_price(exchange: Exchange) -> None:
    exchange.told(order(1, 1, SELL, 5, 100))
    told = exchange.told(order(2, 1, BUY, 3, 101))
    assert told["trades.AAPL"] == [Trade(1, 1, "AAPL", 100, 3, Side.BUY, 1, START_NS + 2)]
    assert actions(told["orders.AAPL"]) == [(CHANGE, 1, 100, 2)]


def test_order_that_comes_and_goes_within_a_block_is_told_but_moves_no_level(
    exchange: Exchange,
) -> None:
    told = exchange.told(order(1, 1, BUY, 5, 100), ("F", 1, 0, 2, "AAPL", 1))
    assert list(told) == ["orders.AAPL"]
    assert actions(told["orders.AAPL"]) == [(NEW, 1, 100, 5), (DELETE, 1, 100, 0)]


def test_trades_of_one_block_are_never_merged(exchange: Exchange) -> None:
    exchange.told(order(1, 1, SELL, 5, 100), order(2, 1, SELL, 5, 101))
    told = exchange.told(order(3, 1, BUY, 6, 101), order(3, 2, BUY, 1, 101))
    assert [(t.md_entry_px, t.md_entry_size) for t in told["trades.AAPL"]] == [
        (100, 5),
        (101, 1),
        (101, 1),
    ]
    assert len(told["top.AAPL"]) == 1


def test_stop_is_invisible_until_it_rests(exchange: Exchange) -> None:
    assert exchange.told(order(1, 1, BUY, 5, 103, ord_type="4", stop_px=102)) == {}
    told = exchange.told(order(2, 1, SELL, 1, 102), order(3, 1, BUY, 1, 102))
    assert (NEW, 1, 103, 5) in actions(told["orders.AAPL"])


def test_iceberg_shows_its_slice_and_comes_again_behind_the_others(exchange: Exchange) -> None:
    told = exchange.told(order(1, 1, SELL, 25, 100, display_qty=10), order(2, 1, SELL, 5, 100))
    assert told["depth.AAPL"][0].md_entry_size == 15
    told = exchange.told(order(3, 1, BUY, 10, 100))
    assert actions(told["orders.AAPL"]) == [(DELETE, 1, 100, 0), (NEW, 1, 100, 10)]
    assert "depth.AAPL" not in told


def test_icebergs_filled_up_by_one_order_are_told_as_they_queue(exchange: Exchange) -> None:
    exchange.told(*(order(a, 1, SELL, 50, 100, display_qty=10) for a in (1, 2)))
    told = exchange.told(order(3, 1, BUY, 33, 100))  # 10 and 10 again of 1, 10 and 3 of 2
    assert actions(told["orders.AAPL"])[-2:] == [(NEW, 2, 100, 7), (NEW, 1, 100, 10)]


def test_replace_tells_whether_priority_was_kept(exchange: Exchange) -> None:
    exchange.told(order(1, 1, BUY, 5, 100))
    smaller = exchange.told(("G", 1, 0, 2, "AAPL", 1, 4, 100, 0))
    assert actions(smaller["orders.AAPL"]) == [(CHANGE, 1, 100, 4)]
    larger = exchange.told(("G", 1, 0, 3, "AAPL", 2, 6, 100, 0))
    assert actions(larger["orders.AAPL"]) == [(DELETE, 1, 100, 0), (NEW, 1, 100, 6)]


def test_only_ten_levels_are_told(exchange: Exchange) -> None:
    exchange.told(*(order(1, n, BUY, 1, 100 - n) for n in range(1, 12)))
    told = exchange.told(order(1, 20, BUY, 1, 100))
    assert [(m.md_update_action, m.md_price_level, m.md_entry_px) for m in told["depth.AAPL"]] == [
        (DELETE, 10, 90),
        (NEW, 1, 100),
    ]


def test_repeated_request_tells_nothing_new(exchange: Exchange) -> None:
    exchange.told(order(1, 1, SELL, 5, 100))
    assert exchange.told(order(1, 1, SELL, 5, 100)) == {}


def test_halt_and_resumption_are_told(exchange: Exchange) -> None:
    told = exchange.told(("DH", 9, 0, 1, 0, "", "AAPL", 0, 0))
    status = SecurityStatus(1, 1, "AAPL", SecurityTradingStatus.HALT, START_NS + 1)
    assert told == {"status.AAPL": [status]}
    assert ask(exchange.core, MarketDataRequest("AAPL", Channel.STATUS))[1] == status
    told = exchange.told(("DH", 9, 0, 2, 2, "", "AAPL", 0, 0))
    assert told["status.AAPL"][0].security_trading_status == SecurityTradingStatus.READY_TO_TRADE


def test_halt_and_resumption_of_all_symbols_are_told_for_each(exchange: Exchange) -> None:
    halt, ready = SecurityTradingStatus.HALT, SecurityTradingStatus.READY_TO_TRADE
    exchange.told(("DH", 9, 0, 1, 0, "", "AAPL", 0, 0))
    for cl_ord_id, action, status in ((2, 2, ready), (3, 1, halt)):
        told = exchange.told(("DH", 9, 0, cl_ord_id, action, "", "", 0, 0))
        assert sorted(told) == ["status.AAPL", "status.MSFT"]
        assert [told[topic][-1].security_trading_status for topic in told] == [status, status]


def test_suspended_account_halts_no_instrument(exchange: Exchange) -> None:
    exchange.told(order(2, 1, BUY, 5, 100))
    told = exchange.told(("DH", 9, 0, 1, 1, "BOB", "AAPL", 0, 2))
    assert "status.AAPL" not in told
    assert actions(told["orders.AAPL"]) == [(DELETE, 1, 100, 0)]
    assert exchange.told(("DH", 9, 0, 2, 0, "BOB", "", 0, 2)) == {}


def test_diverging_block_stops_the_process(exchange: Exchange) -> None:
    block = exchange.sequencer.block([order(1, 1, BUY, 5, 100)])
    other = exchange.sequencer.block([order(1, 2, BUY, 5, 100)])
    with pytest.raises(InvariantError, match="diverged"):
        exchange.core.handle_block(block._replace(chunks=other.chunks))


def test_missing_block_stops_the_process(exchange: Exchange) -> None:
    exchange.sequencer.block([order(1, 1, BUY, 5, 100)])
    with pytest.raises(InvariantError, match="missing"):
        exchange.told(order(1, 2, BUY, 5, 100))


def test_new_epoch_starts_numbers_again_with_the_book_as_it_was(exchange: Exchange) -> None:
    exchange.told(order(1, 1, BUY, 5, 100), order(1, 2, BUY, 5, 99))
    exchange.sequencer.epoch = 2
    told = exchange.told(order(1, 3, BUY, 5, 98))
    assert [(m.epoch, m.rpt_seq) for m in told["orders.AAPL"]] == [(2, 1)]
    old = ask(exchange.core, ApplicationMessageRequest("AAPL", Channel.ORDERS, 1, 1))
    assert old[0] == SnapshotFullRefresh(2, 1, "AAPL", Channel.ORDERS, 3, 0)


def test_another_publisher_numbers_alike(exchange: Exchange) -> None:
    blocks = [exchange.sequencer.block([order(1, n, BUY, 5, 100 + n)]) for n in (1, 2, 3)]
    for block in blocks:
        exchange.core.handle_block(block)
    other = new_core()
    published = []
    for block in blocks:
        other.handle_block(block)
        published += [decode_batch(f) for t, f in other.flush(START_NS) if t == b"top.AAPL"]
    (together,) = [decode_batch(f) for t, f in exchange.core.flush(0) if t == b"top.AAPL"]
    assert [m for messages in published for m in messages] == together


def test_quiet_topic_says_how_far_it_is_once_a_second(exchange: Exchange) -> None:
    exchange.told(order(1, 1, BUY, 5, 100))
    now_ns = START_NS + HEARTBEAT_INTERVAL_NS
    exchange.core.tick(now_ns - 1)
    assert "orders.AAPL" not in exchange.published(now_ns - 1)
    exchange.core.tick(now_ns)
    quiet = exchange.published(now_ns)
    assert quiet["orders.AAPL"] == [MarketDataHeartbeat(1, 1, "AAPL", Channel.ORDERS)]
    assert len(quiet) == 2 * len(Channel) - 1  # conflated.AAPL told its change just before
    exchange.core.tick(now_ns + 1)
    assert exchange.published(now_ns + 1) == {}


def test_conflated_top_is_told_ten_times_a_second_and_repeated_when_quiet(
    exchange: Exchange,
) -> None:
    for n in range(1, 4):
        assert "conflated.AAPL" not in exchange.told(order(1, n, BUY, 5, 100 + n))
    now_ns = START_NS + CONFLATION_INTERVAL_NS
    exchange.core.tick(now_ns)
    latest = ConflatedTop(1, 3, "AAPL", 103, 5, 1, 0, 0, 0, START_NS + 3)
    assert exchange.published(now_ns) == {"conflated.AAPL": [latest]}
    exchange.core.tick(now_ns + HEARTBEAT_INTERVAL_NS)
    assert exchange.published(now_ns)["conflated.AAPL"] == [latest]
    exchange.told(order(1, 4, BUY, 5, 104))
    snapshot = ask(exchange.core, MarketDataRequest("AAPL", Channel.CONFLATED))
    assert snapshot[1].bid_px == 104


def test_retransmission_repeats_what_was_published(exchange: Exchange) -> None:
    told = [exchange.told(order(1, n, BUY, 5, 100 + n))["orders.AAPL"][0] for n in (1, 2, 3)]
    again = ask(exchange.core, ApplicationMessageRequest("AAPL", Channel.ORDERS, 1, 2))
    assert again == told[1:]
    nothing = ask(exchange.core, ApplicationMessageRequest("AAPL", Channel.ORDERS, 1, 4))
    assert nothing == [MarketDataHeartbeat(1, 3, "AAPL", Channel.ORDERS)]


def test_what_is_no_longer_kept_is_answered_by_a_snapshot(exchange: Exchange) -> None:
    count = RETRANSMIT_MESSAGES_MAX + 2
    exchange.told(*(order(1, n, BUY, 1, n) for n in range(1, count + 1)))
    kept = ask(exchange.core, ApplicationMessageRequest("AAPL", Channel.ORDERS, 1, 3))
    assert [m.rpt_seq for m in kept] == list(range(3, count + 1))
    answer = ask(exchange.core, ApplicationMessageRequest("AAPL", Channel.ORDERS, 1, 2))
    heads = [m for m in answer if isinstance(m, SnapshotFullRefresh)]
    assert len(answer) - len(heads) == heads[0].tot_num_reports == count
    assert [h.first_report for h in heads] == list(range(0, count, 1024))


def test_what_nobody_has_wanted_for_a_while_is_only_counted(exchange: Exchange) -> None:
    core, now_ns = exchange.core, START_NS
    for beginning in (b"orders.AAPL", b"conflated."):
        core.wanted(beginning, True, now_ns)
    core.wanted(b"", False, now_ns)
    core.tick(now_ns + OFFER_NS - 1)
    assert "top.AAPL" in exchange.told(order(1, 1, BUY, 1, 1))  # who lost its connection
    now_ns += OFFER_NS
    core.tick(now_ns)
    exchange.published(now_ns)
    assert set(exchange.told(order(1, 2, BUY, 1, 2))) == {"orders.AAPL"}
    core.tick(now_ns + CONFLATION_INTERVAL_NS)
    assert set(exchange.published(now_ns)) == {"conflated.AAPL"}
    core.wanted(b"top.AAPL", True, now_ns)
    assert exchange.told(order(1, 3, BUY, 1, 3))["top.AAPL"][0].rpt_seq == 3
    again = ask(core, ApplicationMessageRequest("AAPL", Channel.TOP, 1, 3))
    assert [m.rpt_seq for m in again] == [3]
    (head, top) = ask(core, ApplicationMessageRequest("AAPL", Channel.TOP, 1, 2))
    assert isinstance(head, SnapshotFullRefresh)
    assert (head.rpt_seq, top.bid_px) == (3, 3)


def test_the_feed_waits_longer_for_company_while_nobody_has_subscribed() -> None:
    core = MarketDataCore(Engine(0, INSTRUMENTS), INSTRUMENTS)
    publisher, rests = shell.MarketDataShell(0, core), []
    for said in (b"", b"\1top.AAPL", b"\1orders.", b"\0orders.", b"\0top.AAPL"):
        publisher.receive(shell.PUBLISH, [said], START_NS, START_NS)
        rests.append(publisher.rest().seconds)
    long, short = shell.UNWANTED_REST_S, shell.REST_S
    assert rests == [long, short, short, short, long]


def test_the_feed_waits_shorter_while_more_of_it_is_there() -> None:
    core = MarketDataCore(Engine(0, INSTRUMENTS), INSTRUMENTS)
    publisher, rests = shell.MarketDataShell(0, core), []
    for size in (shell.BATCH_BYTES_MAX, 100, shell.BATCH_BYTES_MAX // 2):
        frame = feed.frame(0, 1, 5, 1, bytes(size))  # after a gap: not looked into yet
        publisher.receive(shell.FEED, [frame], START_NS, START_NS)
        rests.append(publisher.rest().seconds)
    assert rests == [shell.BEHIND_REST_S, shell.UNWANTED_REST_S, shell.UNWANTED_REST_S]


def test_a_new_publisher_offers_everything_for_a_while() -> None:
    core, sequencer = MarketDataCore(Engine(0, INSTRUMENTS), INSTRUMENTS), Sequencer()
    core.handle_block(sequencer.block([order(1, 1, BUY, 1, 1)]))
    assert core.flush(START_NS) == []
    core.offer(START_NS)
    core.handle_block(sequencer.block([order(1, 2, BUY, 1, 2)]))
    assert {t for t, _ in core.flush(START_NS)} == {b"top.AAPL", b"depth.AAPL", b"orders.AAPL"}
    again = ask(core, ApplicationMessageRequest("AAPL", Channel.TOP, 1, 2))
    assert [m.rpt_seq for m in again] == [2]
    core.tick(START_NS + OFFER_NS)
    core.flush(START_NS + OFFER_NS)
    core.handle_block(sequencer.block([order(1, 3, BUY, 1, 3)]))
    assert core.flush(START_NS) == []


@pytest.mark.parametrize(
    ("payload", "symbol", "reason"),
    [
        (b"", "", "Z"),
        (b"\x93\xa1V\xa4AAPL\xa4none", "", "Z"),
        (b"\x91" * 10_000, "", "Z"),
        (b"\x93\xa1V\xa1\xff\xa3top", "", "Z"),
        (encode(("BW", "AAPL", "top", -1, 0)), "", "Z"),
        (encode(("V", "NONE", "top")), "NONE", "0"),
    ],
)
def test_bad_request_is_refused(
    exchange: Exchange, payload: bytes, symbol: str, reason: str
) -> None:
    (frame,) = exchange.core.handle_request(payload)
    (answer,) = decode_batch(frame)
    assert isinstance(answer, MarketDataRequestReject)
    assert (answer.symbol, answer.md_req_rej_reason) == (symbol, reason)
