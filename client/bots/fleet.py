"""All bots of a process: one loop gives each its turn, at a rate that bounds their messages.

When the exchange goes away the fleet says so once, and begins again when it is back: for ever,
until it is stopped. At the end every bot cancels its orders.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from typing import Final

from rtes.client import Client, RtesError
from rtes.client.bots.bot import Bot
from rtes.client.bots.roster import Post
from rtes.client.bots.tape import Tape
from rtes.common.enums import CancelOnDisconnect, Channel
from rtes.common.messages import SecurityList
from rtes.common.refusals import Code

RATE_PER_S: Final = 50.0
TIMEOUT_S: Final = 2.0  # a stop must not wait long for an exchange that is gone
RETRY_S: Final = 1.0
LONGEST_WAIT_S: Final = 0.1  # between two looks at whether to stop
CHANNELS: Final = (Channel.TOP, Channel.TRADES)

log = logging.getLogger("rtes.bots")


class Fleet:
    """rate: messages a second of all bots together; stopping() ends the run."""

    def __init__(
        self,
        posts: Sequence[Post],
        *,
        profile: str,
        seed: int,
        rate: float,
        stopping: Callable[[], bool],
    ) -> None:
        self.bots: list[Bot] = []
        self._posts = posts
        self._seed = seed
        self._interval_s = 1.0 / rate
        self._stopping = stopping
        self._connect = partial(
            Client.connect,
            profile=profile,
            cancel_on_disconnect=CancelOnDisconnect.EVERYTHING,
            timeout_s=TIMEOUT_S,
        )

    def run(self) -> None:
        """Trade until stopped."""
        reachable = True
        while not self._stopping():
            try:
                with self._sessions() as tape:
                    reachable = True
                    self._trade(tape)
            except RtesError as error:
                if reachable:
                    log.warning("waiting for the exchange: %s", error)
                reachable = False
                self._pause(RETRY_S)

    def refused(self) -> dict[str, int]:
        """How often each code was told to the bots."""
        counts: dict[str, int] = {}
        for bot in self.bots:
            for code, count in bot.refusals.counts.items():
                name = Code(code).name
                counts[name] = counts.get(name, 0) + count
        return counts

    @contextmanager
    def _sessions(self) -> Iterator[Tape]:
        """All bots logged on; at the end logged off, orders cancelled when it is a good end."""
        good = False
        with self._connect(self._posts[0].account) as first:
            instruments = first.instruments()
            feed = first.market_data(list(instruments), CHANNELS)
        try:
            self._begin(instruments)
            yield Tape(feed, instruments)
            good = True
        finally:
            feed.close()
            self._end(good)

    def _begin(self, instruments: Mapping[str, SecurityList]) -> None:
        symbols = [s for s, i in instruments.items() if i.trading_reference_price]
        if not self.bots:
            self.bots = [Bot(post, symbols, self._seed) for post in self._posts]
        for bot in self.bots:
            if not self._stopping():
                bot.begin(self._connect)
        log.info("%d bots trade %s", len(self.bots), ", ".join(symbols))

    def _end(self, cancel: bool) -> None:
        for bot in self.bots:
            try:
                bot.end(cancel)
            except RtesError as error:  # cancel_on_disconnect does what could not be asked for
                log.warning("%s could not cancel its orders: %s", bot.account, error)
                cancel = False

    def _trade(self, tape: Tape) -> None:
        due_s = time.monotonic()
        for bot in cycle(self.bots):
            while (wait_s := due_s - time.monotonic()) > 0:
                tape.poll(min(wait_s, LONGEST_WAIT_S))
                if self._stopping():
                    return
            tape.poll(0.0)
            if self._stopping():
                return
            messages = bot.turn(tape.markets())
            due_s = max(due_s, time.monotonic() - 1.0) + max(messages, 1) * self._interval_s

    def _pause(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not self._stopping():
            time.sleep(LONGEST_WAIT_S)
