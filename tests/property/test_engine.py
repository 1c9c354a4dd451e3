"""Whatever is sent, the engine tells and keeps what the oracle says, always the same, no leak.

Also when it is stopped every ten commands and goes on from its saved state."""

from collections.abc import Sequence
from math import prod
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rtes.common.records import Command, decode_reports, encode
from rtes.common.refdata import Instrument
from rtes.services.matcher import state
from rtes.services.matcher.engine import Engine

from tests.oracle import DAY_NS, Event, OpenOrder, Oracle

START_NS = 20_000 * DAY_NS
STEP_NS = 1_800 * 1_000_000_000  # two commands an hour, so that days end meanwhile
DAY_END_NS = 17 * 3_600 * 1_000_000_000
SYMBOLS = ("AAPL", "MSFT")
INSTRUMENTS = [Instrument(symbol=s, reference_price=100) for s in SYMBOLS]
ACCOUNTS = (1, 2, 3)

KINDS = "HDDDDDDDDDDDDDDDGGGGGGFEqALXRRU"  # the first one changes nothing: it is shrunk to
TERMS = (  # (ord_type, tif), as risk lets them pass
    *(("2", tif) for tif in "0160160160160134"),
    *(("1", tif) for tif in "04"),
    *(("3", tif) for tif in "01"),
    *(("4", tif) for tif in "0166"),
    *(("K", tif) for tif in "0034"),
)
Intent = tuple[int, ...]
# kind, account, symbol (0 is the other one), side, quantity, price
WHAT = (len(KINDS), len(ACCOUNTS), 10, 2, 9, 7)
# terms, stop price, extras, self-trade prevention, which earlier order or how long
HOW = (len(TERMS), 7, 12, 16, 30)


def digits(number: int, bases: Sequence[int]) -> Intent:
    """Several small choices out of one number: hypothesis takes long over many of them."""
    found = []
    for base in bases:
        number, digit = divmod(number, base)
        found.append(digit)
    return tuple(found)


INTENT = st.builds(
    lambda what, how: digits(what, WHAT) + digits(how, HOW),
    st.integers(0, prod(WHAT) - 1),
    st.integers(0, prod(HOW) - 1),
)


class Flow:
    """Makes commands of what hypothesis chooses; cl_ord_ids of all accounts are one sequence."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self._last_id = 0
        self._turn = 1
        self._sent: list[Command] = []

    def command(self, intent: Intent, open_orders: Sequence[OpenOrder]) -> Command:
        self.now_ns += STEP_NS
        kind, account, back = KINDS[intent[0]], ACCOUNTS[intent[1]], 1 + intent[10]
        if kind == "E":
            return ("XE", 0, self.now_ns, 0)
        if kind == "L":
            self._turn += back % 2  # often the same: the answer to a logon was lost
            return ("A", account, 0, 0, 0, 1, back % 3, 30, self._turn, 1)
        if kind == "X":
            return ("XD", account, 0, 0, 0, self._turn - back % 2)
        if kind == "R":
            if not self._sent:
                return ("XE", 0, 0, 0)
            change = intent[3] * (1 + intent[4])
            return self._again(self._sent[-min(back, len(self._sent))], change)
        self._last_id += 1 + back // 30
        made = self._request(kind, intent, open_orders)
        self._sent.append(made)
        return made

    def _again(self, sent: Command, change: int) -> Command:
        """Sent a second time, by another way; or another request under the same id or a lower."""
        if not change:
            return (*sent[:2], 7, *sent[3:])
        if change % 2 and sent[0] == "D":
            at = 6 + change % 3  # quantity, type, price
            return (*sent[:at], "1" if at == 7 else sent[at] + 1, *sent[at + 1 :])
        return ("F", sent[1], 0, max(1, sent[3] - sent[3] % 2), "AAPL", 1)

    def _request(self, kind: str, intent: Intent, open_orders: Sequence[OpenOrder]) -> Command:
        extras, back = intent[8], 1 + intent[10]
        symbol = SYMBOLS[intent[2] == 0]
        head = (ACCOUNTS[intent[1]], 0, self._last_id)
        if kind == "q":
            return ("q", *head, "7", "" if extras % 3 else symbol, ("", "1", "2")[back % 3])
        if kind == "A":
            return ("AF", *head, "" if extras % 2 else symbol)
        if kind == "U":
            action = (1, 1, 0, 2)[extras % 4]
            return ("UF", *head, "no_self_trades", action, "" if back % 3 == 0 else symbol)
        if kind == "D":
            return self._new(head, symbol, intent)
        if not open_orders:
            return (kind, *head, symbol, back, *((9, 100, 0) if kind == "G" else ()))
        order = open_orders[back % len(open_orders)]
        named = (order.account, 0, self._last_id, order.symbol, order.cl_ord_id - (extras == 11))
        return (kind, *named, *(self._changes(order, intent) if kind == "G" else ()))

    def _changes(self, order: OpenOrder, intent: Intent) -> tuple[int, int, int]:
        """Mostly what a replace of this order may change."""
        qty, price, stop, extras = 1 + intent[4], 97 + intent[5], 97 + intent[7], intent[8]
        if extras < 4:
            price = order.price
        elif order.any_price and extras < 10:
            price = 0
        waiting = order.ticket == 0
        return qty, price, stop if waiting == (extras < 10) else 0

    def _new(self, head: tuple[int, int, int], symbol: str, intent: Intent) -> Command:
        _, _, _, side, qty, price, terms, stop_px, extras, smp, back = intent
        qty, back = qty + 1, back + 1
        if extras > 8:  # all else at its default, as with most
            plain = ("2", 97 + price) if back % 4 else ("K", 0)
            return ("D", *head, symbol, "12"[side], qty, *plain)
        ord_type, tif = TERMS[terms]
        rests = tif in "016"
        iceberg = extras in (1, 2, 3, 4, 5) and rests and ord_type not in "13"
        return (
            "D", *head, symbol, "12"[side], qty, ord_type,
            97 + price if ord_type in "24" else 0,
            tif,
            97 + stop_px if ord_type in "34" else 0,
            "6" if extras == 0 and ord_type == "2" and rests else "",
            min(qty, extras % 3 + 1) if iceberg else 0,
            min(qty, 1 + back % 5) if extras in (5, 6, 7) else 0,
            self.now_ns + back * STEP_NS if tif == "6" else 0,
            7 if smp > 7 else 0,
            smp % 4 + 1,
        )  # fmt: skip


class Run:
    """An engine and what it told."""

    def __init__(self) -> None:
        self.engine = Engine(0, INSTRUMENTS, DAY_END_NS)
        self.chunks: list[Any] = []
        self._seq = 0

    def restart(self) -> None:
        """Go on with a new engine that takes in the state of this one, as from a snapshot."""
        saved = state.decode(encode(self.engine.state()))
        self.engine = Engine(0, INSTRUMENTS, DAY_END_NS)
        self.engine.restore(saved)

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
    if r[0] == "UR":
        on = [s for s in r[5].split(",") if s]
        return Event("UR", account, r[3], last_qty=len(on), why=r[6])
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
    """An account's numbers have no gap, exec_ids are all different, what ended has nothing left."""
    expected = dict.fromkeys(ACCOUNTS, 1)
    exec_ids = []
    for account, first, count, _answered, data, _moves in chunks:
        assert first == expected[account]
        expected[account] += count
        told = [r for r in decode_reports(data) if r[0] != "A"]
        fresh = [r for r in told if r[2] >= first]
        assert [r[2] for r in fresh] == list(range(first, first + count))
        exec_ids += [r[7] for r in fresh if r[0] == "8"]
        assert all(r[10] == 0 for r in told if r[0] == "8" and r[4] in ("2", "4", "8", "C"))
    assert len(set(exec_ids)) == len(exec_ids)


def check_no_leak(run: Run, now_ns: int) -> None:
    for account in ACCOUNTS:
        run.apply(("q", account, 0, 10**6, "7", "", ""), now_ns)
    engine = run.engine
    assert not engine.open_orders()
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
        command = flow.command(intent, oracle.open)
        expected = oracle.apply(command, seq, flow.now_ns)
        assert first.apply(command, flow.now_ns) == expected, command
        check_same_book(first.engine, oracle)
        second.apply(command, flow.now_ns)
        if seq % 10 == 0:
            second.restart()
    check_numbers(first.chunks)
    assert first.chunks == second.chunks
    assert first.engine.digest() == second.engine.digest()
    check_no_leak(first, flow.now_ns)


@settings(max_examples=400, deadline=None)
@given(st.lists(INTENT, min_size=30, max_size=60))
def test_engine_does_what_the_oracle_says(intents: list[Intent]) -> None:
    run_all(intents)
