"""All bots of dev on the real matching engine, turn by turn: the market they make stays alive.

Time is a counter, so a run is reproduced exactly, and a thousand turns are a minute of dev.
"""

from collections import Counter, deque
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import pytest
from rtes.client.bots import market_maker, roster
from rtes.client.bots.view import Market, Message, OpenOrder, View
from rtes.common.config import checkout, load
from rtes.common.enums import Side
from rtes.common.records import decode_reports
from rtes.common.refdata import load_instruments
from rtes.services.matcher.engine import Engine

TURNS = 6_000
INSTRUMENTS = load_instruments(checkout() / "configs" / "instruments.json").instruments
SYMBOLS = [i.symbol for i in INSTRUMENTS]
LARGEST_MESSAGE = 7 + market_maker.LEVELS  # clips a market maker shows at one level, at most


class Arena:
    """The engine with bots at it. Nothing is refused by risk: the bots must keep the band."""

    def __init__(self, seed: int) -> None:
        self.engine = Engine(0, INSTRUMENTS)
        groups = [(g.strategy, g.count) for g in load("dev", {}).bots.groups]
        self.posts = roster.posts(groups)
        self.cores = [(p.make(SYMBOLS), p.rng(seed)) for p in self.posts]
        self.positions: list[Counter[str]] = [Counter() for _ in self.posts]
        self.trades = {s: deque[int](maxlen=50) for s in SYMBOLS}
        self.seen: Counter[str] = Counter()
        self.prices: dict[str, list[int]] = {s: [] for s in SYMBOLS}
        self.empty_touches = 0
        self.messages = 0
        self._seq = 0

    def turn(self, turn: int) -> None:
        number = turn % len(self.posts)
        core, rng = self.cores[number]
        markets = {i.symbol: self._market(i.symbol) for i in INSTRUMENTS}
        self.empty_touches += sum(not (m.bid and m.ask) for m in markets.values())
        view = View(markets, 1 + turn * 100, self._orders(number + 1), dict(self.positions[number]))
        for message in core.on_tick(view, rng, turn):
            self._apply(number + 1, message)

    def _apply(self, account: int, message: Message) -> None:
        self._seq += 1
        self.messages += 1
        tag, *fields = msgspec.to_builtins(message)
        self.engine.apply((tag, account, 0, *fields), None, self._seq, self._seq)
        for chunk in self.engine.take()[0]:
            for report in decode_reports(chunk[4]):
                self._tell(chunk[0] - 1, report)

    def _tell(self, number: int, report: tuple[Any, ...]) -> None:
        self.seen["refused" if report[0] == "9" else report[3]] += 1
        if report[0] == "8" and report[3] == "F":
            symbol, side, qty, price = report[8], report[9], report[15], report[16]
            self.positions[number][symbol] += qty if side == Side.BUY else -qty
            self.trades[symbol].append(price)
            self.prices[symbol].append(price)

    def _market(self, symbol: str) -> Market:
        instrument = next(i for i in INSTRUMENTS if i.symbol == symbol)
        book = self.engine.books[symbol]
        base = Market(
            symbol,
            instrument.reference_price,
            instrument.min_price_increment,
            max(instrument.round_lot, instrument.min_trade_vol),
            trades=tuple(self.trades[symbol]),
        )
        (bid, bid_qty, _), *_ = [*book.depth("1", 1), (0, 0, 0)]
        (ask, ask_qty, _), *_ = [*book.depth("2", 1), (0, 0, 0)]
        return replace(base, bid=bid, bid_qty=bid_qty, ask=ask, ask_qty=ask_qty)

    def _orders(self, account: int) -> list[OpenOrder]:
        participant = self.engine.participants.get(account)
        return [
            OpenOrder(o.cl_ord_id, o.symbol, Side(o.side), o.price, o.leaves, o.cum)
            for o in (participant.orders.values() if participant else ())
        ]


@cache
def arena(seed: int = 1, turns: int = TURNS) -> Arena:
    made = Arena(seed)
    for turn in range(turns):
        made.turn(turn)
    return made


def test_every_market_trades_to_the_end() -> None:
    for symbol, prices in arena().prices.items():
        assert len(prices) > 200, symbol
        assert len(set(prices[-100:])) > 3, f"{symbol} stands still"


def test_both_sides_are_quoted_almost_always() -> None:
    assert arena().empty_touches < TURNS * len(SYMBOLS) // 100


def test_prices_move_but_stay_near_the_reference() -> None:
    for instrument in INSTRUMENTS:
        prices, reference = arena().prices[instrument.symbol], instrument.reference_price
        assert max(abs(p - reference) for p in prices) < 0.08 * reference
        assert max(prices) - min(prices) > reference // 1_000


def test_inventories_and_open_orders_are_bounded() -> None:
    units = {i.symbol: max(i.round_lot, i.min_trade_vol) * 10 for i in INSTRUMENTS}
    orders_max = 2 * market_maker.LEVELS * len(SYMBOLS)
    most = market_maker.INVENTORY_CLIPS_MAX + market_maker.LEVELS * LARGEST_MESSAGE
    for account, positions in enumerate(arena().positions, start=1):
        for symbol, position in positions.items():
            assert abs(position) <= most * units[symbol], (account, symbol)
        assert len(arena().engine.participants[account].orders) <= orders_max


def test_little_is_refused_and_much_is_moved_rather_than_cancelled() -> None:
    seen = arena().seen
    assert seen["8"] == 0
    assert seen["refused"] == 0  # every bot sees all of its own orders here
    assert seen["5"] > arena().messages // 10


def test_the_same_seed_makes_the_same_market() -> None:
    turns = 1_000
    again = Arena(1)
    for turn in range(turns):
        again.turn(turn)
    assert again.engine.digest() == arena(1, turns).engine.digest()
    assert again.engine.digest() != arena(2, turns).engine.digest()


@pytest.mark.parametrize("strategy", roster.STRATEGIES)
def test_every_strategy_trades(strategy: str) -> None:
    mine = [n for n, post in enumerate(arena().posts) if post.strategy == strategy]
    assert mine
    assert any(any(arena().positions[n].values()) for n in mine)
