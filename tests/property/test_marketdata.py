"""Whatever is traded and whatever gets lost: a subscriber's book ends up as the matcher's."""

from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rtes.client.bookview import REQUEST_INTERVAL_NS, BookView
from rtes.common.enums import Channel, MdEntryType
from rtes.common.marketdata import DEPTH_LEVELS, HEARTBEAT_INTERVAL_NS, Trade, decode_batch
from rtes.common.records import Command, decode, decode_reports, encode
from rtes.services.marketdata.core import MarketDataCore
from rtes.services.matcher.book import Book, BookSide
from rtes.services.matcher.state import decode as decode_state

from tests.marketdata_blocks import START_NS, Sequencer, Subscriber, new_core, order

CHANNELS = ("top", "depth", "trades", "orders")
ACCOUNTS = (1, 2, 3)


class Flow:
    """Random commands; cl_ord_ids of all accounts come from one counter."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._cl_ord_id = 0

    def block(self) -> list[Command]:
        return [self._command() for _ in range(self._random.randint(1, 6))]

    def _command(self) -> Command:
        random = self._random
        self._cl_ord_id += 1
        account, cl_ord_id = random.choice(ACCOUNTS), self._cl_ord_id
        earlier = random.randint(max(1, cl_ord_id - 60), cl_ord_id)
        price = random.randint(90, 110)
        match random.randint(0, 19):
            case 0 | 1 | 2:
                return ("F", account, 0, cl_ord_id, "AAPL", earlier)
            case 3 | 4 | 5 | 6:
                qty = random.randint(1, 60)
                return ("G", account, 0, cl_ord_id, "AAPL", earlier, qty, price, 0)
            case 7 if random.random() < 0.2:
                return ("q", account, 0, cl_ord_id, "7", "", "")
            case _:
                return self._new_order(account, cl_ord_id, price)

    def _new_order(self, account: int, cl_ord_id: int, price: int) -> Command:
        random = self._random
        side, qty = random.choice("12"), random.randint(1, 40)
        smp = (random.choice((0, 0, 7)), random.randint(1, 4))
        kind = random.choice("222222222134K")
        stop_px = random.randint(90, 110) if kind in "34" else 0
        return order(
            account,
            cl_ord_id,
            side,
            qty,
            0 if kind in "13K" else price,
            ord_type=kind,
            tif=random.choice("111113") if kind == "2" else "1",
            stop_px=stop_px,
            display_qty=random.choice((0, 0, 5)) if kind == "2" and qty > 5 else 0,
            smp=smp,
        )


def queue(side: BookSide) -> list[tuple[int, int, int]]:
    """(order_id, price, shown quantity) in order of priority."""
    found = []
    for level in side.ordered():
        at = level.head
        while at is not None:
            found.append((at.order_id, at.price, at.shown))
            at = at.next
    return found


def queue_seen(view: BookView, entry: MdEntryType) -> list[tuple[int, int, int]]:
    orders = [(i, o.price, o.qty) for i, o in view.orders.items() if o.md_entry_type is entry]
    sign = -1 if entry is MdEntryType.BID else 1
    return sorted(orders, key=lambda o: sign * o[1])  # stable: a level keeps its order


def assert_same(view: BookView, book: Book) -> None:
    bids, asks = book.depth("1", DEPTH_LEVELS), book.depth("2", DEPTH_LEVELS)
    assert (view.bids, view.asks) == (bids, asks)
    assert queue_seen(view, MdEntryType.BID) == queue(book.bids)
    assert queue_seen(view, MdEntryType.OFFER) == queue(book.asks)
    top = view.top
    assert top is not None
    assert (top.bid_px, top.bid_size, top.bid_orders) == (bids[0] if bids else (0, 0, 0))
    assert (top.offer_px, top.offer_size, top.offer_orders) == (asks[0] if asks else (0, 0, 0))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), loss_percent=st.sampled_from([0, 5, 30, 80]))
def test_lossy_subscriber_ends_with_the_matchers_book(seed: int, loss_percent: int) -> None:
    random = Random(seed)
    flow, sequencer, core = Flow(random), Sequencer(), new_core()
    losing = True
    subscriber = Subscriber(CHANNELS, lambda: losing and random.randrange(100) < loss_percent)
    now_ns = START_NS
    for _ in range(random.randint(1, 80)):
        now_ns += random.randint(1, REQUEST_INTERVAL_NS)
        sequencer.epoch += random.random() < 0.02
        core.handle_block(sequencer.block(flow.block()))
        core.tick(now_ns)
        subscriber.receive(core.flush(now_ns))
        subscriber.recover(core, now_ns)
        if not subscriber.view.stale and loss_percent == 0:
            assert_same(subscriber.view, sequencer.engine.books["AAPL"])
    losing = False
    for _ in range(2):
        now_ns += HEARTBEAT_INTERVAL_NS
        core.tick(now_ns)
        subscriber.receive(core.flush(now_ns))
        subscriber.recover(core, now_ns)
    assert not subscriber.view.stale
    assert_same(subscriber.view, sequencer.engine.books["AAPL"])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_trade_is_told_once_in_order(seed: int) -> None:
    random = Random(seed)
    flow, sequencer, core = Flow(random), Sequencer(), new_core()
    reported: dict[int, tuple[int, int]] = {}
    told: list[tuple[int, int, int]] = []
    for _ in range(40):
        block = sequencer.block(flow.block())
        core.handle_block(block)
        reported |= trades_reported(block.chunks)
        for topic, frame in core.flush(START_NS):
            if topic == b"trades.AAPL":
                trades = [m for m in decode_batch(frame) if isinstance(m, Trade)]
                told += [(t.trd_match_id, t.md_entry_px, t.md_entry_size) for t in trades]
    assert told == [(match_id, *reported[match_id]) for match_id in sorted(reported)]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_publisher_that_starts_from_a_snapshot_goes_on_as_the_one_before(seed: int) -> None:
    random = Random(seed)
    flow, sequencer, first, second = Flow(random), Sequencer(), new_core(), new_core()
    for _ in range(40):
        sequencer.epoch += random.random() < 0.05
        block = sequencer.block(flow.block())
        for core in (first, second):
            core.handle_block(block)
        assert first.flush(START_NS) == second.flush(START_NS)
        if random.random() < 0.3:
            second = restarted(second, sequencer.next_seq)
    for channel in Channel:
        query = encode(("V", "AAPL", channel))
        assert first.handle_request(query) == second.handle_request(query)


def restarted(core: MarketDataCore, next_seq: int) -> MarketDataCore:
    """A new publisher that takes in what the other one saved."""
    new = new_core()
    new._engine.restore(decode_state(encode(core._engine.state())))
    new.restore(decode(encode(core.state())), next_seq)
    return new


def trades_reported(chunks: Sequence[Any]) -> dict[int, tuple[int, int]]:
    """trd_match_id -> (price, quantity), from both sides' reports."""
    reports = [r for chunk in chunks for r in decode_reports(chunk[4]) if r[0] == "8"]
    return {r[17]: (r[16], r[15]) for r in reports if r[3] == "F"}
