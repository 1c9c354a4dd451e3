"""What surrounds the bots' cores: resting after refusals, and the tape."""

import logging
from collections.abc import Iterator

import pytest
from rtes.client import MarketData
from rtes.client.bots.bot import REST_S_FIRST, REST_S_MAX, Refusals
from rtes.client.bots.tape import TRADES_KEPT, Tape, market_of
from rtes.client.marketdata import Source
from rtes.common.enums import Channel, Side
from rtes.common.marketdata import TopOfBook, Trade
from rtes.common.messages import BusinessMessageReject, SecurityList
from rtes.common.refusals import Code


def refused(code: int) -> BusinessMessageReject:
    return BusinessMessageReject("D", 1, code, 1_000, 1_001)


def test_a_refused_bot_rests_longer_each_time_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusals = Refusals("BOT01")
    now_s, rests = 100.0, []
    for _ in range(10):
        refusals.tell(refused(Code.BUSY), now_s)
        rests.append(refusals.until_s - now_s)
        now_s = refusals.until_s
    assert rests == sorted(rests)
    assert (rests[0], rests[1], rests[-1]) == (REST_S_FIRST, 2 * REST_S_FIRST, REST_S_MAX)
    assert [r.getMessage()[:17] for r in caplog.records] == ["BOT01 was refused"]
    assert caplog.records[0].levelno == logging.WARNING
    refusals.tell(refused(0), now_s)
    refusals.tell(refused(Code.BUSY), now_s)
    assert refusals.until_s == now_s + REST_S_FIRST


@pytest.mark.parametrize("code", [Code.TOO_LATE, Code.UNKNOWN_ORDER, Code.NO_LIQUIDITY])
def test_being_too_late_is_no_reason_to_rest(code: Code) -> None:
    refusals = Refusals("BOT01")
    refusals.tell(refused(code), 1.0)
    assert (refusals.until_s, refusals.counts) == (0.0, {})


def listed(symbol: str, step: int = 1, lot: int = 1, least: int = 1) -> SecurityList:
    return SecurityList("", 1, symbol, 0, "0.01", "1", "USD", step, lot, least, 10**6, 58_574, "")


def test_the_smallest_order_is_a_whole_number_of_lots() -> None:
    assert market_of(listed("A", lot=10, least=25)).unit == 30
    assert market_of(listed("A", lot=10, least=5)).unit == 10
    assert market_of(listed("A", step=50)).step == 50


@pytest.fixture
def tape() -> Iterator[Tape]:
    """Nobody publishes at the endpoints; the books are fed by hand."""
    nowhere = "inproc://nowhere"
    with MarketData([Source(nowhere, nowhere, ["A"])], [Channel.TOP, Channel.TRADES]) as feed:
        yield Tape(feed, {"A": listed("A")})


def test_the_tape_shows_the_touch_and_the_last_trades(tape: Tape) -> None:
    assert tape.markets()["A"].last == 58_574
    tape.feed.books["A"].top = TopOfBook(1, 1, "A", 10, 5, 1, 12, 7, 2, 0)
    tape.take([Trade(1, n, "A", 100 + n, 1, Side.BUY, n, 0) for n in range(TRADES_KEPT + 5)])
    market = tape.markets()["A"]
    assert (market.bid, market.bid_qty, market.ask, market.ask_qty) == (10, 5, 12, 7)
    assert (len(market.trades), market.last) == (TRADES_KEPT, 100 + TRADES_KEPT + 4)
