"""`rtes replay`: sends a LOBSTER message file through the gateway as two participants.

One account sends the orders that rest, the other the orders that execute them. All consecutive
messages of one account go out in batches; before the other's turn every one of them is answered.
So the exchange sees one fixed order of messages, and two runs give the same digest of outcomes
when nobody else trades the symbol meanwhile.
"""

import hashlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rtes.client import Client, RtesError
from rtes.client.cli_common import Setting, listed, shared
from rtes.client.lobster import Action, Message, Row, Translator, parse
from rtes.client.outcomes import Outcomes, Report
from rtes.common.config import Config
from rtes.common.messages import Logout, OrderMassStatusRequest, SecurityList
from rtes.common.refusals import Code

BATCH_MESSAGES: Final = 64
ORDERS_KEPT: Final = 100_000  # by the SDK; a day has millions
SILENCE_S_MAX: Final = 30.0  # without an answer owed: the exchange is gone
KINDS: Final = {
    "NewOrderSingle": "new orders",
    "OrderCancelReplaceRequest": "partial cancels",
    "OrderCancelRequest": "cancels",
}


class ReplayError(RtesError):
    """The replay cannot go on; the message says why."""


class Party:
    """One of the two accounts: its client, what waits to be sent, what it was told."""

    def __init__(self, connect: Callable[..., Client], symbol: str) -> None:
        self.tally = Outcomes(first_id=sys.maxsize)  # nothing before the run counts
        self.client = connect(on_report=self._on_report)
        self.cleared = self.client.cancel_all(symbol)
        self.tally = Outcomes(self.client.next_id())
        self._batch: list[Message] = []

    def _on_report(self, report: object) -> None:
        if isinstance(report, Report):
            self.tally.tell(report)
        elif isinstance(report, Logout):
            raise ReplayError(f"the exchange ended the session: {report.text}")

    def add(self, message: Message) -> None:
        self._batch.append(message)
        if len(self._batch) == BATCH_MESSAGES:
            self.flush()

    def flush(self) -> None:
        if self._batch:
            self.tally.unanswered.update(m.cl_ord_id for m in self._batch)
            batch, self._batch = self._batch, []
            self.client.send(batch)
        if len(self.client.orders) > ORDERS_KEPT:
            self.client.orders.clear()

    def settle(self) -> None:
        """Send what waits; return when everything sent is answered."""
        self.flush()
        owed, since = len(self.tally.unanswered), time.monotonic()
        while self.tally.unanswered:
            self.client.poll(0.05)
            if len(self.tally.unanswered) < owed:
                owed, since = len(self.tally.unanswered), time.monotonic()
            elif time.monotonic() - since > SILENCE_S_MAX:
                raise ReplayError(f"{owed} requests without an answer for {SILENCE_S_MAX:.0f} s")


@dataclass
class Pace:
    """When a row is due. speed 0: at once."""

    speed: float
    _first_ns: int = -1
    _start_s: float = 0.0

    def wait_s(self, time_ns: int) -> float:
        if self._first_ns < 0:
            self._first_ns, self._start_s = time_ns, time.monotonic()
        if not self.speed:
            return 0.0
        due_s = (time_ns - self._first_ns) / 1e9 / self.speed
        return due_s - (time.monotonic() - self._start_s)


class Replay:
    """Sends the actions of a file; resting and taking are the two accounts."""

    def __init__(self, resting: Party, taking: Party, pace: Pace) -> None:
        self.sent: Counter[str] = Counter()
        self._resting = resting
        self._taking = taking
        self._turn = resting
        self._pace = pace

    def act(self, action: Action) -> None:
        self._wait(action.time_ns)
        party = self._taking if action.taking else self._resting
        if party is not self._turn:
            self._turn.settle()
            self._turn = party
        party.add(action.message)
        kind = "executions" if action.taking else KINDS[type(action.message).__name__]
        self.sent[kind] += 1

    def finish(self, symbol: str) -> None:
        """Settle both; the status request's answer comes after all reports about trades."""
        self._turn.settle()
        for party in (self._resting, self._taking):
            request = OrderMassStatusRequest(party.client.next_id(), symbol)
            party.tally.unanswered.add(request.cl_ord_id)
            party.client.send([request])
            party.settle()

    def _wait(self, time_ns: int) -> None:
        wait_s = self._pace.wait_s(time_ns)
        if wait_s > 0:
            self._turn.flush()
        while wait_s > 0:
            self._resting.client.poll(0.0)
            self._taking.client.poll(min(wait_s, 0.05))
            wait_s = self._pace.wait_s(time_ns)


def rows(path: Path, advance: Callable[[int], None]) -> Iterator[Row]:
    """The file's rows; advance is told the bytes read. Raises ReplayError naming the line."""
    with path.open(errors="replace") as lines:  # what is not text is refused as such a line
        for number, line in enumerate(lines, start=1):
            advance(len(line))
            try:
                yield parse(line)
            except ValueError as error:
                raise ReplayError(f"{path}:{number}: {error}") from None


def run(
    path: Path, instrument: SecurityList, resting: Party, taking: Party, speed: float
) -> dict[str, Any]:
    """Replay the file and report on it. Raises ReplayError."""
    translator = Translator(
        instrument.symbol,
        instrument.tick_size,
        instrument.lot_size,
        resting_ids=iter(resting.client.next_id, 0),
        taking_ids=iter(taking.client.next_id, 0),
    )
    replay = Replay(resting, taking, Pace(speed))
    count = 0
    start = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"replaying {path.name}", total=path.stat().st_size)
        for row in rows(path, lambda size: progress.advance(task, size)):
            count += 1
            action = translator.translate(row)
            if action is not None:
                replay.act(action)
    replay.finish(instrument.symbol)
    elapsed_s = time.monotonic() - start
    return {
        "file": str(path),
        "symbol": instrument.symbol,
        "rows": count,
        "skipped": {str(reason): n for reason, n in sorted(translator.skipped.items())},
        "sent": dict(replay.sent),
        **_told({"resting": resting, "taking": taking}),
        "elapsed_s": round(elapsed_s, 3),
        "messages_per_s": round(replay.sent.total() / max(elapsed_s, 1e-9)),
    }


def _told(parties: dict[str, Party]) -> dict[str, Any]:
    tallies = {name: party.tally for name, party in parties.items()}
    digests = "".join(t.digest() for t in tallies.values()).encode()
    return {
        "cleared": sum(party.cleared for party in parties.values()),
        "trades": {n: {"fills": t.fills, "qty": t.filled_qty} for n, t in tallies.items()},
        "short": {n: {"orders": t.short, "qty": t.short_qty} for n, t in tallies.items()},
        "refused": [
            {"by": n, "code": r.code, "name": Code(r.code).name, "count": r.count, "text": r.text}
            for n, t in tallies.items()
            for r in t.refused.values()
        ],
        "left_open": sum(t.told["order_status"] for t in tallies.values()),
        "digest": hashlib.sha256(digests).hexdigest(),
    }


def _show(report: dict[str, Any]) -> None:
    table = Table(title=f"replay of {report['file']} in {report['symbol']}", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")  # a digest is of use only whole
    for name, count in report["sent"].items():
        table.add_row("sent", f"{count:,} {name}")
    for reason, count in report["skipped"].items():
        table.add_row("skipped", f"{count:,} rows: {reason}")
    for party, trade in report["trades"].items():
        table.add_row(f"traded, {party}", f"{trade['fills']:,} fills, {trade['qty']:,} lots")
    for party, short in report["short"].items():
        if short["orders"]:
            text = f"{short['orders']:,} orders, {short['qty']:,} lots found nothing to trade with"
            table.add_row(f"short, {party}", text)
    for refusal in report["refused"]:
        text = f"{refusal['count']:,} x {refusal['name']}: {refusal['text']}"
        table.add_row(f"refused, {refusal['by']}", text)
    table.add_row("left open", f"{report['left_open']:,} orders")
    rate = f"{report['messages_per_s']:,} messages/s over {report['elapsed_s']:.1f} s"
    table.add_row("rate", rate)
    table.add_row("digest", report["digest"])
    Console().print(table)


def _speed(text: str) -> float:
    """Times real time; 0 is as fast as it goes."""
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if speed <= 0:
        raise click.BadParameter(f"{text!r} is neither max nor a number above 0")
    return speed


def _replay(
    file: Path, speed: float, symbol: str, accounts: tuple[str, str], config: Config
) -> dict[str, Any]:
    """Log both accounts on, run, log off. Raises RtesError."""
    connect = [partial(Client.connect, account, config=config) for account in accounts]
    with connect[0]() as client:
        instrument = listed(client.instruments(), symbol)
    resting = Party(connect[0], symbol)
    with closing(resting.client):
        taking = Party(connect[1], symbol)
        with closing(taking.client):
            return run(file, instrument, resting, taking, speed)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--speed", default="max", help="Times real time, or max (the default).")
@click.option("--symbol", help="Default: the file's name up to the first underscore.")
@click.option("--taker", default="DEMO2", show_default=True, help="Who sends the executions.")
@shared()
def replay(setting: Setting, file: Path, speed: str, symbol: str | None, taker: str) -> None:
    """Send a LOBSTER message FILE through the gateway and report what came of it.

    New orders, partial cancels and deletes are sent by --account. The execution of a visible
    order is sent by --taker, as an IOC order of the opposite side at its price and size. Both
    accounts' open orders in the symbol are cancelled first. Rows about orders from before the
    file, hidden executions, auctions and halts are skipped and counted. The digest of outcomes
    repeats when nobody else trades the symbol meanwhile (scripts/start.sh --no-bots).
    """
    if setting.account == taker:
        raise click.UsageError("--account and --taker must be two accounts")
    symbol = symbol or file.name.partition("_")[0]
    report = _replay(file, _speed(speed), symbol, (setting.account, taker), setting.config)
    setting.emit(report, lambda: _show(report))
