"""The bots' decision cores: reproducible, bounded, and sane in every market they may meet."""

from random import Random

import pytest
from rtes.client.bots import desk, market_maker, roster
from rtes.client.bots.view import Market, Message, OpenOrder, View
from rtes.common.enums import OrdType, Side, TimeInForce
from rtes.common.messages import NewOrderSingle, OrderCancelReplaceRequest, OrderCancelRequest

SYMBOLS = ["AAPL", "BTC-USD"]
REFERENCE = {"AAPL": 58_574, "BTC-USD": 6_500_000}
STEP = {"AAPL": 1, "BTC-USD": 50}
UNIT = {"AAPL": 1, "BTC-USD": 10}


def market(symbol: str = "AAPL", *, away: float = 0.0, empty: bool = False) -> Market:
    """A market whose touch stands away (a fraction) from the reference."""
    step, unit = STEP[symbol], UNIT[symbol]
    middle = int(REFERENCE[symbol] * (1 + away)) // step * step
    base = Market(symbol, REFERENCE[symbol], step, unit)
    if empty:
        return base
    edge = base.half_spread
    qty = base.clip * 5
    return Market(
        symbol, base.reference, step, unit, middle - edge, qty, middle + edge, qty, (middle,) * 12
    )


def view(
    *,
    away: float = 0.0,
    empty: bool = False,
    orders: tuple[OpenOrder, ...] = (),
    position: int = 0,
    next_id: int = 1,
) -> View:
    markets = {symbol: market(symbol, away=away, empty=empty) for symbol in SYMBOLS}
    return View(markets, next_id, orders, dict.fromkeys(SYMBOLS, position))


def sent(strategy: str, seed: int, views: list[View]) -> list[list[Message]]:
    post = roster.posts([(strategy, 1)])[0]
    core, rng = post.make(SYMBOLS), post.rng(seed)
    return [core.on_tick(v, rng, 0) for v in views]


def walk(ticks: int, seed: int = 5) -> list[View]:
    """Views of a market that wanders, with inventory and orders that come and go."""
    chance = Random(seed)
    views = []
    for tick in range(ticks):
        own = OpenOrder(tick + 1, "AAPL", Side.BUY, 58_000 + chance.randint(0, 900), 50, 7)
        views.append(
            view(
                away=chance.uniform(-0.09, 0.09),
                empty=chance.random() < 0.1,
                orders=(own,) * chance.randint(0, 1),
                position=chance.randint(-2_000, 2_000),
                next_id=1 + 100 * tick,
            )
        )
    return views


@pytest.mark.parametrize("strategy", roster.STRATEGIES)
def test_same_seed_same_orders(strategy: str) -> None:
    first, again = (sent(strategy, 7, walk(300)) for _ in range(2))
    assert first == again
    assert any(first)


@pytest.mark.parametrize("strategy", ["market_maker", "liquidity_taker", "noise"])
def test_another_seed_other_orders(strategy: str) -> None:
    assert sent(strategy, 7, walk(100)) != sent(strategy, 8, walk(100))


@pytest.mark.parametrize("strategy", roster.STRATEGIES)
def test_every_order_fits_its_instrument(strategy: str) -> None:
    for seen, messages in zip(walk(500), sent(strategy, 3, walk(500)), strict=True):
        ids = [m.cl_ord_id for m in messages]
        assert ids == list(range(seen.next_id, seen.next_id + len(ids)))
        for message in messages:
            if isinstance(message, OrderCancelRequest):
                continue
            step, unit = STEP[message.symbol], UNIT[message.symbol]
            already = 7 if isinstance(message, OrderCancelReplaceRequest) else 0
            assert message.price % step == 0
            assert message.order_qty > 0
            assert (message.order_qty - already) % unit == 0
            priced = getattr(message, "ord_type", OrdType.LIMIT) is OrdType.LIMIT
            assert (message.price > 0) == priced


@pytest.mark.parametrize("strategy", roster.STRATEGIES)
def test_an_empty_market_is_survived(strategy: str) -> None:
    for messages in sent(strategy, 1, [view(empty=True)] * 50):
        for message in messages:
            assert isinstance(message, NewOrderSingle | OrderCancelRequest)
            if isinstance(message, NewOrderSingle):
                assert message.time_in_force is TimeInForce.DAY


@pytest.mark.parametrize("strategy", ["liquidity_taker", "noise", "momentum", "arbitrage"])
@pytest.mark.parametrize("away", [0.0, 0.05, -0.05])
def test_a_full_inventory_only_shrinks(strategy: str, away: float) -> None:
    """Market makers hold their own bound by not quoting the side at all."""
    full = view(away=away, position=60 * 100)  # beyond every taker's maximum
    for messages in sent(strategy, 2, [full] * 200):
        for message in messages:
            if isinstance(message, NewOrderSingle):
                assert message.side is Side.SELL


def test_a_full_market_maker_quotes_one_side_and_cancels_the_other() -> None:
    resting = OpenOrder(1, "AAPL", Side.BUY, 58_500, 50)
    messages = sent("market_maker", 1, [view(position=10_000, orders=(resting,))])[0]
    assert [m.orig_cl_ord_id for m in messages if isinstance(m, OrderCancelRequest)] == [1]
    assert {m.side for m in messages if isinstance(m, NewOrderSingle)} == {Side.SELL}


def test_a_market_maker_leaves_well_placed_quotes_alone_and_moves_the_others() -> None:
    quotes = sent("market_maker", 1, [view()])[0]
    orders = tuple(
        OpenOrder(m.cl_ord_id, m.symbol, m.side, m.price, m.order_qty)
        for m in quotes
        if isinstance(m, NewOrderSingle)
    )
    assert len(orders) == 2 * market_maker.LEVELS
    post = roster.posts([("market_maker", 1)])[0]
    calm = post.make(["AAPL"]).on_tick(view(orders=orders), post.rng(1), 0)
    assert calm == []
    moved = post.make(["AAPL"]).on_tick(view(orders=orders, away=0.01), post.rng(1), 0)
    assert len(moved) == 2 * market_maker.LEVELS
    assert all(isinstance(m, OrderCancelReplaceRequest) for m in moved)


@pytest.mark.parametrize("away", [-0.2, -0.05, 0.05, 0.2])
def test_fair_price_leans_to_the_reference_and_stays_in_the_band(away: float) -> None:
    seen = market(away=away)
    fair = market_maker.fair_price(seen, 0, 0.5)
    assert abs(fair - seen.reference) < abs(seen.last - seen.reference)
    assert abs(fair - seen.reference) <= 0.08 * seen.reference


def test_an_inventory_moves_the_quotes_away() -> None:
    long, flat, short = (market_maker.fair_price(market(), p, 0.5) for p in (500, 0, -500))
    assert long < flat < short


def test_arbitrage_sells_the_dear_and_buys_the_cheap() -> None:
    markets = {"AAPL": market("AAPL", away=0.004), "BTC-USD": market("BTC-USD")}
    post = roster.posts([("arbitrage", 1)])[0]
    messages = post.make(SYMBOLS).on_tick(View(markets, 1), post.rng(1), 0)
    sides = {m.symbol: m.side for m in messages if isinstance(m, NewOrderSingle)}
    assert sides == {"AAPL": Side.SELL, "BTC-USD": Side.BUY}


def test_momentum_follows_a_trend_and_leaves_an_exhausted_one() -> None:
    def trending(start: int) -> View:
        prices = tuple(range(start, start + 12 * 10, 10))
        last = prices[-1]
        rising = Market("AAPL", 58_574, 1, 1, last - 5, 500, last + 5, 500, prices)
        return View({"AAPL": rising}, 1)

    post = roster.posts([("momentum", 1)])[0]
    followed = post.make(["AAPL"]).on_tick(trending(58_500), post.rng(1), 0)
    assert [m.side for m in followed if isinstance(m, NewOrderSingle)] == [Side.BUY]
    assert post.make(["AAPL"]).on_tick(trending(61_000), post.rng(1), 0) == []


def test_sides_even_out() -> None:
    rng = Random(1)
    buys = sum(desk.leaning_side(rng, 0, 10) is Side.BUY for _ in range(1000))
    assert 400 < buys < 600
    assert all(desk.leaning_side(rng, 10, 10) is Side.SELL for _ in range(100))
    assert all(desk.leaning_side(rng, -10, 10) is Side.BUY for _ in range(100))


def test_the_roster_numbers_accounts_and_ignores_later_groups() -> None:
    posts = roster.posts([("market_maker", 2), ("noise", 1)])
    assert [p.account for p in posts] == ["BOT01", "BOT02", "BOT03"]
    assert [p.number for p in posts] == [0, 1, 0]
    alone = roster.posts([("market_maker", 2)])
    assert [p.rng(4).random() for p in alone] == [p.rng(4).random() for p in posts[:2]]


def test_groups_are_read_from_text() -> None:
    assert roster.parse_group("noise:3") == ("noise", 3)
    assert roster.parse_group("noise") == ("noise", 1)
    with pytest.raises(ValueError, match="NAME:COUNT"):
        roster.parse_group("noise:x")
    with pytest.raises(ValueError, match="no strategy 'nose'"):
        roster.posts([("nose", 1)])
