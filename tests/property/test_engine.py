"""Whatever is sent, the engine tells and keeps what the oracle says, always the same, no leak."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rtes.common.records import Command, decode_reports
from rtes.common.refdata import Instrument
from rtes.services.matcher.engine import Engine

from tests.oracle import Event, Oracle

START_NS = 1_700_000_000_000_000_000
STEP_NS = 3_600 * 1_000_000_000  # a command an hour, so that days end meanwhile
DAY_END_NS = 17 * STEP_NS
SYMBOLS = ("AAPL", "MSFT")
INSTRUMENTS = [Instrument(symbol=s, reference_price=100) for s in SYMBOLS]
ACCOUNTS = (1, 2, 3)

KINDS = "DDDDDDDDDDDGGGGFFEqHaALXR"
TERMS = (  # (ord_type, tif), as risk lets them pass
    *(("2", tif) for tif in "01601634"),
    *(("1", tif) for tif in "034"),
    *(("3", tif) for tif in "01"),
    *(("4", tif) for tif in "016"),
    *(("K", tif) for tif in "0134"),
)
Intent = tuple[int, ...]
INTENT = st.tuples(
    st.integers(0, len(KINDS) - 1),
    st.integers(0, 2),  # account
    st.integers(0, 9),  # symbol, 0 is the other one
    st.integers(0, 1),  # side
    st.integers(1, 9),  # quantity
    st.integers(0, 6),  # price
    st.integers(0, len(TERMS) - 1),
    st.integers(0, 6),  # stop price
    st.integers(0, 11),  # extras
    st.integers(0, 15),  # self-trade prevention: id and instruction
    st.integers(1, 30),  # which earlier order, or how long
)


class Flow:
    """Makes commands of what hypothesis chooses; cl_ord_ids of all accounts are one sequence."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self._last_id = 0
        self._sent: list[Command] = []
        self._orders: list[Command] = []  # requests that gave an open order its id, perhaps

    def command(self, intent: Intent) -> Command:
        self.now_ns += STEP_NS
        kind = KINDS[intent[0]]
        account = ACCOUNTS[intent[1]]
        symbol = SYMBOLS[intent[2] == 0]
        back = intent[10]
        if kind == "E":
            return ("XE", 0, self.now_ns, 0)
        if kind == "L":
            return ("A", account, 0, 0, 0, back % 2, back % 3, 30)
        if kind == "X":
            return ("XD", account, 0, 0, 0, back % 2)
        if kind == "R" and self._sent:
            return self._again(self._sent[-min(back, len(self._sent))], intent[3])
        self._last_id += 1 + back // 30
        made = self._request(kind, account, symbol, intent)
        self._sent.append(made)
        if made[0] in ("D", "G"):
            self._orders.append(made)
        return made

    def _again(self, sent: Command, change: int) -> Command:
        """Sent a second time, by another way; or another request under the same id."""
        if not change:
            return (*sent[:2], 7, *sent[3:])
        return ("F", sent[1], 0, max(1, sent[3] - sent[3] % 2), "AAPL", 1)

    def _request(self, kind: str, account: int, symbol: str, intent: Intent) -> Command:
        _, _, _, side, qty, price, _, stop, extras, _, back = intent
        head = (account, 0, self._last_id)
        if kind == "q":
            wide = "" if extras % 3 else symbol
            return ("q", *head, "7", wide, ("", "1", "2")[back % 3])
        if kind == "A":
            return ("AF", *head, "" if extras % 2 else symbol)
        if kind in "GFH" and self._orders:
            target = self._orders[-min(back, len(self._orders))]
            owner = account if extras == 11 else target[1]
            named = (owner, 0, self._last_id, target[4], target[3])
            if kind != "G":
                return (kind, *named)
            return ("G", *named, *self._changes(target, intent))
        return self._new(head, symbol, "12"[side], qty, (price, stop), intent)

    def _changes(self, target: Command, intent: Intent) -> tuple[int, int, int]:
        """Mostly what a replace of this order may change."""
        _, _, _, _, qty, price, _, stop, extras, _, _ = intent
        old_price, old_stop = (target[8], target[10]) if target[0] == "D" else target[7:9]
        keep = extras < 4
        new_price = old_price if keep or not (old_price or extras > 9) else 97 + price
        new_stop = 97 + stop if old_stop and extras < 10 else 0
        return qty, new_price, new_stop

    def _new(
        self,
        head: tuple[int, int, int],
        symbol: str,
        side: str,
        qty: int,
        prices: tuple[int, int],
        intent: Intent,
    ) -> Command:
        extras, smp, back = intent[8:11]
        ord_type, tif = TERMS[intent[6]]
        rests = tif in "016"
        price = 97 + prices[0] if ord_type in "24" else 0
        stop_px = 97 + prices[1] if ord_type in "34" else 0
        post_only = "6" if extras == 0 and ord_type == "2" and rests else ""
        iceberg = extras in (1, 2, 3, 4, 5) and rests and ord_type not in "13"
        display = min(qty, extras % 3 + 1) if iceberg else 0
        min_qty = min(qty, 1 + back % 5) if extras in (5, 6, 7) else 0
        expires = self.now_ns + back * STEP_NS if tif == "6" else 0
        terms = (ord_type, price, tif, stop_px, post_only, display, min_qty, expires)
        return ("D", *head, symbol, side, qty, *terms, 7 if smp > 7 else 0, smp % 4 + 1)


class Run:
    """An engine and what it told."""

    def __init__(self) -> None:
        self.engine = Engine(0, INSTRUMENTS, DAY_END_NS)
        self.chunks: list[Any] = []
        self._seq = 0

    def apply(self, command: Command, now_ns: int) -> list[Event]:
        self._seq += 1
        self.engine.apply(command, None, self._seq, now_ns)
        chunks, _notices = self.engine.take()
        self.chunks.extend(chunks)
        told = [(c[0], report) for c in chunks for report in decode_reports(c[4])]
        told = [each for each in told if each[1][0] != "A"]
        told.sort(key=lambda each: each[1][7] if each[1][0] == "8" else 2**62)
        return [event(account, report) for account, report in told]


def event(account: int, r: tuple[Any, ...]) -> Event:
    """What the oracle would say of a report."""
    if r[0] == "8":
        r = (*r, *(0,) * (25 - len(r)))
        return Event(r[3], account, r[5], r[8], r[15], r[16], r[10], r[11], r[22] or r[20])
    if r[0] == "9":
        return Event("9", account, r[3], why=r[9])
    return Event(r[0], account, r[3], last_qty=r[5] if r[0] == "r" else r[4])


def check_same_book(engine: Engine, oracle: Oracle) -> None:
    for symbol, book in engine.books.items():
        assert book.last_px == oracle.last_px[symbol]
        for side, name in ((book.bids, "1"), (book.asks, "2")):
            mine = [
                (o.order_id, o.price, o.leaves, o.shown)
                for level in side.ordered()
                for o in level.queue()
            ]
            queue = oracle.queue(symbol, name)
            assert mine == [(o.order_id, o.price, o.leaves, o.shown) for o in queue]
            for level in side.ordered():
                orders = level.queue()
                assert level.shown == sum(o.shown for o in orders)
                assert level.leaves == sum(o.leaves for o in orders)
                assert level.count == len(orders) > 0
    assert {o.order_id for o in oracle.open} == {
        o.order_id for p in engine.participants.values() for o in p.orders.values()
    }


def check_numbers(chunks: Sequence[Any]) -> None:
    """Numbers of an account follow one another; exec_ids rise; what ended has nothing left."""
    expected = dict.fromkeys(ACCOUNTS, 1)
    for account, first, count, _answered, _data in chunks:
        assert first == expected[account]
        expected[account] += count
    reports = [r for c in chunks for r in decode_reports(c[4]) if r[0] == "8"]
    assert all(r[10] == 0 for r in reports if r[4] in ("2", "4", "8", "C"))


def check_no_leak(run: Run, now_ns: int) -> None:
    for account in ACCOUNTS:
        run.apply(("q", account, 0, 10**6, "7", "", ""), now_ns)
    engine = run.engine
    assert not engine._matching.orders
    assert all(not p.orders for p in engine.participants.values())
    for book in engine.books.values():
        for side in (book.bids, book.asks):
            assert not side.levels
            assert not side.ladder
            assert not side._keys
        for stops in (book.buy_stops, book.sell_stops):
            assert not stops.waiting()
            assert not stops._orders


def run_all(intents: Sequence[Intent]) -> None:
    flow, oracle = Flow(), Oracle(SYMBOLS, DAY_END_NS)
    first, second = Run(), Run()
    for seq, intent in enumerate(intents, 1):
        command = flow.command(intent)
        expected = oracle.apply(command, seq, flow.now_ns)
        assert first.apply(command, flow.now_ns) == expected, command
        second.apply(command, flow.now_ns)
    check_same_book(first.engine, oracle)
    check_numbers(first.chunks)
    assert first.chunks == second.chunks
    assert first.engine.digest() == second.engine.digest()
    check_no_leak(first, flow.now_ns)


@settings(max_examples=300, deadline=None)
@given(st.lists(INTENT, max_size=60))
def test_engine_does_what_the_oracle_says(intents: list[Intent]) -> None:
    run_all(intents)
