"""Which bots there are: strategies by name, and the accounts they trade for.

Bots are numbered in the order of their groups; bot 1 trades for BOT01. A bot's chance depends on
the seed and its account only, so adding a group leaves the bots before it as they were.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, NamedTuple

from rtes.client.bots.arbitrage import Arbitrage
from rtes.client.bots.liquidity_taker import LiquidityTaker
from rtes.client.bots.market_maker import MarketMaker
from rtes.client.bots.momentum import Momentum
from rtes.client.bots.noise import Noise
from rtes.client.bots.view import Strategy

STRATEGIES: Final[Mapping[str, Callable[[int, Sequence[str]], Strategy]]] = {
    "market_maker": MarketMaker,
    "liquidity_taker": LiquidityTaker,
    "momentum": Momentum,
    "arbitrage": Arbitrage,
    "noise": Noise,
}


class Post(NamedTuple):
    """One bot to be: its account, its strategy's name and its number within the strategy."""

    account: str
    strategy: str
    number: int

    def rng(self, seed: int) -> Random:
        return Random(f"{seed}/{self.account}")  # noqa: S311 - trading, not secrets

    def make(self, symbols: Sequence[str]) -> Strategy:
        return STRATEGIES[self.strategy](self.number, symbols)


def posts(groups: Sequence[tuple[str, int]]) -> list[Post]:
    """One post per bot of the (strategy, count) groups; raises ValueError on an unknown name."""
    made: list[Post] = []
    for strategy, count in groups:
        if strategy not in STRATEGIES:
            raise ValueError(f"no strategy {strategy!r}; there are {', '.join(STRATEGIES)}")
        for index in range(count):
            made.append(Post(f"BOT{len(made) + 1:02}", strategy, index))
    return made


def parse_group(text: str) -> tuple[str, int]:
    """NAME:COUNT or NAME; raises ValueError."""
    name, _, count = text.partition(":")
    if not (count or "1").isdigit():
        raise ValueError(f"{text!r} is not NAME:COUNT")
    return name, int(count or "1")
