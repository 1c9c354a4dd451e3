"""The engine between participants and operators: refusals, kill switch, sessions, leaks."""

from typing import Any

import pytest
from rtes.common.records import Command
from rtes.common.refusals import Code
from rtes.services.matcher.outcomes import OUTCOMES_KEPT

from tests.exchange import ALICE, BOB, INSTRUMENTS, OPS, Exchange, told

SUSPEND, HALT, REINSTATE = 0, 1, 2
NOTHING, NOT_GTC_GTD, EVERYTHING = 0, 1, 2


@pytest.fixture
def x() -> Exchange:
    return Exchange()


def order(account: int, cl_ord_id: int, symbol: str = "AAPL") -> Command:
    return ("D", account, 0, cl_ord_id, symbol, "1", 5, "2", 100, "1", 0, "", 0, 0, 0, 0, 1)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("code", [Code.UNKNOWN_SYMBOL, Code.ORDER_SIZE, Code.PRICE_BAND])
def test_what_risk_refused_is_told_and_leaves_nothing(x: Exchange, code: Code) -> None:
    """Ancestor fault 3: whatever was wrong was acknowledged as accepted."""
    report = x.apply(order(ALICE, 1, symbol="NOPE"), (0, int(code), 1, 2))[0]
    assert (report[3], report[6], report[10]) == ("8", 0, 0)
    assert report[22:25] == (code, 1, 2)
    assert x.engine.participants[ALICE].orders == {}


def test_a_symbol_of_no_book_is_refused_here_too(x: Exchange) -> None:
    assert x.apply(order(ALICE, 1, symbol="NOPE"))[0][22] == Code.UNKNOWN_SYMBOL


@pytest.mark.parametrize("kind", ["F", "G", "H", "q", "AF"])
def test_a_refused_request_of_any_kind_is_answered_by_its_id(x: Exchange, kind: str) -> None:
    rest: dict[str, tuple[Any, ...]] = {
        "F": ("AAPL", 1), "G": ("AAPL", 1, 4, 100, 0), "H": ("AAPL", 1),
        "q": ("7", "", ""), "AF": ("",),
    }  # fmt: skip
    x.apply(order(ALICE, 1))
    reports = x.apply((kind, ALICE, 0, 2, *rest[kind]), (0, int(Code.POISONED), 0, 0))
    assert [told(r) for r in reports] == [("9", 2, Code.POISONED)]
    assert x.queue("1") == [(ALICE, 1, 5, 5)]


# ---------------------------------------------------------------- questions


def test_status_of_an_order_and_of_all(x: Exchange) -> None:
    x.buy(ALICE, 9, 100, display=2)
    x.buy(ALICE, 1, kind="3", stop=105, symbol="MSFT")
    report = x.apply(("H", ALICE, 0, 3, "AAPL", 1))[0]
    assert (report[3], report[10], report[25], report[28]) == ("I", 9, "2", 2)
    assert x.apply(("H", ALICE, 0, 4, "AAPL", 77))[0][22:25] == (Code.UNKNOWN_ORDER, 4, 77)
    *each, last = x.apply(("AF", ALICE, 0, 5, ""))
    assert [r[5] for r in each] == [1, 2]
    assert last[:1] + last[3:5] == ("UM", 5, 2)


# ---------------------------------------------------------------- kill switch


def test_suspending_an_account_stops_new_orders_not_cancels(x: Exchange) -> None:
    x.buy(ALICE, 5, 100)
    assert x.party(SUSPEND, "ALICE")[3:9] == (1, SUSPEND, "ALICE", "", 0, 0)
    assert x.new(ALICE, "1", 5, 100)[0][22] == Code.ACCOUNT_SUSPENDED
    assert x.replace(ALICE, 1, 4, 100) == [("9", 3, Code.ACCOUNT_SUSPENDED)]
    assert x.buy(BOB, 1, 99) == [("0", 1, 1, 0)]
    assert told(x.cancel(ALICE, 1)[0]) == ("4", 4, 0, 0)
    x.party(REINSTATE, "ALICE")
    assert x.buy(ALICE, 5, 100) == [("0", 5, 5, 0)]


def test_halting_an_account_cancels_its_orders(x: Exchange) -> None:
    x.buy(ALICE, 5, 100)
    x.sell(ALICE, 5, kind="3", stop=90)
    x.buy(BOB, 5, 100)
    assert x.party(HALT, "ALICE")[7] == 2
    assert x.queue("1") == [(BOB, 1, 5, 5)]
    assert x.engine.participants[ALICE].orders == {}


def test_halting_a_symbol_leaves_the_others(x: Exchange) -> None:
    for symbol in ("AAPL", "MSFT"):
        x.buy(ALICE, 5, 100, symbol=symbol)
    assert x.party(HALT, symbol="AAPL")[7] == 1
    assert x.new(BOB, "1", 1, 100)[0][22] == Code.INSTRUMENT_HALTED
    assert x.buy(BOB, 1, 100, symbol="MSFT") == [("0", 2, 1, 0)]


def test_suspending_an_account_in_one_symbol(x: Exchange) -> None:
    x.party(SUSPEND, "ALICE", "AAPL")
    assert x.new(ALICE, "1", 1, 100)[0][22] == Code.ACCOUNT_SUSPENDED
    assert x.buy(ALICE, 1, 100, symbol="MSFT") == [("0", 2, 1, 0)]


def test_the_switch_without_a_name_is_for_all(x: Exchange) -> None:
    x.buy(ALICE, 5, 100)
    x.sell(BOB, 5, 100, symbol="MSFT")
    assert x.party(HALT)[7] == 2
    assert [x.new(ALICE, "1", 1, 100, symbol=i.symbol)[0][22] for i in INSTRUMENTS] == [
        Code.INSTRUMENT_HALTED
    ] * 2


def test_a_suspended_session_ends_with_the_next_logon(x: Exchange) -> None:
    x.party(SUSPEND, "ALICE", session=1)
    assert x.new(ALICE, "1", 1, 100)[0][22] == Code.SESSION_SUSPENDED
    x.apply(("A", ALICE, 0, 0, 0, 1, NOTHING, 30, 1, 1))
    assert x.buy(ALICE, 1, 100) == [("0", 2, 1, 0)]


@pytest.mark.parametrize(
    ("name", "symbol", "session", "code"),
    [
        ("NOBODY", "", 0, Code.NOT_AUTHORIZED),
        ("", "NOPE", 0, Code.UNKNOWN_SYMBOL),
        ("", "", 1, Code.INVALID_FIELDS),
    ],
)
def test_a_switch_that_names_nothing_known_is_refused(
    x: Exchange, name: str, symbol: str, session: int, code: Code
) -> None:
    x.buy(ALICE, 1, 100)
    assert x.party(HALT, name, symbol, session)[7:9] == (0, code)
    assert x.queue("1") == [(ALICE, 1, 1, 1)]


# ---------------------------------------------------------------- sessions


def logon(x: Exchange, session: int, on_disconnect: int) -> Any:
    return x.apply(("A", ALICE, 0, 0, 3, session, on_disconnect, 30, session, 1))


def test_logon_tells_where_the_account_stands(x: Exchange) -> None:
    x.buy(ALICE, 5, 100)
    x.cancel(ALICE, 1)
    assert logon(x, 1, NOTHING)[0][:6] == ("A", 0, 2, 2, 30, 1)
    assert x.chunks[0][2:4] == (0, 0)  # no number, and no request is answered
    assert x.new(ALICE, "1", 5, 100)[0][2] == 3


@pytest.mark.parametrize(
    ("on_disconnect", "left"), [(NOTHING, [1, 2, 3, 4]), (NOT_GTC_GTD, [2, 3]), (EVERYTHING, [])]
)
def test_cancel_on_disconnect(x: Exchange, on_disconnect: int, left: list[int]) -> None:
    logon(x, 1, on_disconnect)
    x.buy(ALICE, 1, 100, tif="0")
    x.buy(ALICE, 1, 100, tif="1")
    x.buy(ALICE, 1, 100, tif="6", expires=x.now_ns + 10)
    x.buy(ALICE, 1, kind="3", stop=105, tif="0")
    reports = x.apply(("XD", ALICE, 0, 0, 3, 1))
    assert {r[20] for r in reports} <= {12}
    assert list(x.engine.participants[ALICE].orders) == left


def test_an_old_session_ending_late_cancels_nothing(x: Exchange) -> None:
    logon(x, 1, EVERYTHING)
    logon(x, 2, EVERYTHING)
    x.buy(ALICE, 1, 100)
    assert x.apply(("XD", ALICE, 0, 0, 3, 1)) == []
    assert x.queue("1") == [(ALICE, 1, 1, 1)]


# ---------------------------------------------------------------- leaks


def test_nothing_is_left_of_orders_that_ended(x: Exchange) -> None:
    """Ancestor fault 5: filled aggressors and refused orders leaked until all was refused."""
    for _ in range(300):
        x.sell(ALICE, 2, 100, display=1)
        x.buy(BOB, 2, 100)
        x.buy(BOB, 2, kind="1")
        x.buy(BOB, 2, 100, tif="4")
        x.buy(BOB, 1, 100, kind="4", stop=101, tif="6", expires=x.now_ns + 10)
        x.cancel(BOB, x.engine.participants[BOB].mark)
        x.apply(("q", BOB, 0, x.next_id(BOB), "7", "", ""))
        x.new(OPS, "1", 1, 100)
        x.sell(BOB, 1, 100, post_only=True)
        x.cancel(OPS, x.engine.participants[OPS].mark)
    book = x.engine.books["AAPL"]
    assert (book.bids.levels, book.asks.levels) == ({}, {})
    assert (book.bids.ladder, book.asks.ladder) == ([], [])
    assert (book.buy_stops.waiting(), book.sell_stops.waiting()) == ([], [])
    for p in x.engine.participants.values():
        assert p.orders == {}
        assert len([*p.outcomes]) <= OUTCOMES_KEPT
        assert p.reports == []
