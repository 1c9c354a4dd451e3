"""`rtes bots run`: starts the bots of the configuration, or those asked for."""

import logging
import signal
import time
from collections.abc import Sequence
from typing import Final

import click
from rtes.client.bots.fleet import RATE_PER_S, Fleet
from rtes.client.bots.roster import STRATEGIES, Post, parse_group, posts
from rtes.client.cli_common import Setting, shared, told
from rtes.common.config import Config

NO_BOTS: Final = "the configuration has no bots; name some with --strategy NAME:COUNT"


@click.group()
def bots() -> None:
    """Bots that keep the markets alive."""


@bots.command()
@click.option("--seed", type=int, help="Same seed, same orders. Default: the configuration's.")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME:COUNT",
    help=f"Instead of the configuration's bots; again for more. NAME: {', '.join(STRATEGIES)}.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0.1, max=10_000),
    default=RATE_PER_S,
    show_default=True,
    help="Messages a second, all bots together.",
)
@click.option("--duration", type=click.FloatRange(min=0), help="Seconds; without: until stopped.")
@shared(account=None)
def run(
    setting: Setting,
    seed: int | None,
    strategies: tuple[str, ...],
    rate: float,
    duration: float | None,
) -> None:
    """Trade until SIGINT or SIGTERM, then cancel all orders of the bots."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    fleet = Fleet(
        _roster(strategies, setting.config),
        profile=setting.profile,
        seed=setting.config.bots.seed if seed is None else seed,
        rate=rate,
        stopping=_stop_signal(duration),
    )
    fleet.run()
    sent, refused = sum(bot.sent for bot in fleet.bots), fleet.refused()
    report = {"bots": len(fleet.bots), "sent": sent, "refused": refused}
    text = f"{len(fleet.bots)} bots sent {sent:,} messages; refused: {refused or 'none'}"
    setting.emit(report, told(text))


def _roster(strategies: Sequence[str], config: Config) -> list[Post]:
    """The bots asked for, or else those of the configuration."""
    try:
        asked = [parse_group(text) for text in strategies]
        roster = posts(asked or [(group.strategy, group.count) for group in config.bots.groups])
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if not roster:
        raise click.UsageError(NO_BOTS)
    return roster


class _Stop:
    """True once a signal came or the time is over."""

    def __init__(self, duration: float | None) -> None:
        self._end_s = None if duration is None else time.monotonic() + duration
        self._signalled = False

    def signal(self, *_: object) -> None:
        self._signalled = True

    def __call__(self) -> bool:
        over = self._end_s is not None and time.monotonic() >= self._end_s
        return self._signalled or over


def _stop_signal(duration: float | None) -> _Stop:
    stop = _Stop(duration)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.signal)
    return stop
