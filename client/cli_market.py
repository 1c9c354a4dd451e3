"""`rtes book` and `rtes tape`: market data, live until Ctrl-C.

Neither logs on as the account: its key is enough for market data, and a logon would take over
from whatever trades as that account. What is listed is read from the configuration's instruments.
"""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rtes.client.bookview import BookView
from rtes.client.cli_common import Setting, listed, shared
from rtes.client.cli_money import money, price_or_none
from rtes.client.credentials import Credentials
from rtes.client.errors import NotConnected, RtesError
from rtes.client.marketdata import MarketData, sources_of
from rtes.common.config import ConfigError
from rtes.common.enums import Channel
from rtes.common.listing import security_list
from rtes.common.marketdata import Published, Trade
from rtes.common.messages import SecurityList
from rtes.common.paths import Paths
from rtes.common.refdata import load_instruments

FIRST_S: Final = 5.0  # until the first snapshot
FRAME_S: Final = 0.1


def _instruments(setting: Setting) -> dict[str, SecurityList]:
    path = setting.config.exchange.instruments
    try:
        known = load_instruments(path, setting.config.mesh.matcher_shards).instruments
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
    endpoints = setting.config.market_data_endpoints
    return {row.symbol: row for row in security_list(known, endpoints)}


def _subscribe(setting: Setting, symbols: list[str], channels: tuple[str, ...]) -> MarketData:
    endpoint = setting.config.serving("gateway").orders_endpoint
    sources = sources_of(_instruments(setting), symbols, endpoint)
    credentials = Credentials.of(setting.account, Paths(setting.config))
    return MarketData(sources, channels, credentials)


def _first(feed: MarketData, setting: Setting) -> list[Published]:
    """What comes until all books are complete. Raises NotConnected."""
    events = []
    deadline = time.monotonic() + FIRST_S
    while feed.stale:
        try:
            events += feed.poll(FRAME_S)
        except LookupError as error:
            raise RtesError(str(error.args[0])) from None
        if time.monotonic() > deadline:
            symbol = next(s for s, view in feed.books.items() if view.stale)
            endpoint = _instruments(setting)[symbol].market_data_endpoint
            raise NotConnected(
                f"no market data of {symbol} from {endpoint} within {FIRST_S:g} s; is the exchange "
                f"running (scripts/start.sh), and is {setting.account}'s key one of its own?"
            )
    return events


@click.command()
@click.argument("symbol")
@click.option("--once", is_flag=True, help="Print it once and leave, as without a terminal.")
@shared()
def book(setting: Setting, symbol: str, once: bool) -> None:
    """Watch the order book of SYMBOL until Ctrl-C.

    With --json each change is a line, in a terminal or not."""
    instrument = listed(_instruments(setting), symbol)
    with _subscribe(setting, [symbol], (Channel.DEPTH, Channel.TRADES)) as feed:
        _first(feed, setting)
        view = feed.books[symbol]
        watched = not once and (setting.as_json or Console().is_terminal)
        if setting.as_json:
            click.echo(json.dumps(_book_json(view, instrument)))
        elif not watched:
            Console().print(_ladder(view, instrument))
        if watched:
            with suppress(KeyboardInterrupt):
                _watch(setting, feed, view, instrument)


def _watch(setting: Setting, feed: MarketData, view: BookView, instrument: SecurityList) -> None:
    if setting.as_json:
        while True:
            if feed.poll(1.0) and not view.stale:
                click.echo(json.dumps(_book_json(view, instrument)))
    with Live(_ladder(view, instrument), auto_refresh=False) as live:
        while True:
            started = time.monotonic()
            feed.poll(1.0)
            live.update(_ladder(view, instrument), refresh=True)
            time.sleep(max(0.0, FRAME_S - (time.monotonic() - started)))


def _book_json(view: BookView, instrument: SecurityList) -> dict[str, Any]:
    def side(levels: list[tuple[int, int, int]]) -> list[dict[str, Any]]:
        return [{"price": money(p, instrument), "qty": q, "orders": n} for p, q, n in levels]

    last = view.last_trade
    return {
        "symbol": view.symbol,
        "bids": side(view.bids),
        "asks": side(view.asks),
        "last": price_or_none(last.md_entry_px, instrument) if last is not None else None,
    }


def _ladder(view: BookView, instrument: SecurityList) -> Table:
    last = view.last_trade
    title = view.symbol
    if last is not None:
        title += f"  last {last.md_entry_size} at {money(last.md_entry_px, instrument)}"
    if view.stale:
        title += "  (catching up)"
    table = Table(title=title, box=None, header_style="bold")
    for column in ("orders", "bid", "price", "ask", "orders"):
        table.add_column(column, justify="right", min_width=7)
    for price, qty, orders in reversed(view.asks):
        table.add_row("", "", f"[red]{money(price, instrument)}[/]", str(qty), str(orders))
    for price, qty, orders in view.bids:
        table.add_row(str(orders), str(qty), f"[green]{money(price, instrument)}[/]", "", "")
    if not view.bids and not view.asks:
        table.add_row("", "", "empty", "", "")
    return table


@click.command()
@click.argument("symbols", nargs=-1)
@shared()
def tape(setting: Setting, symbols: tuple[str, ...]) -> None:
    """Watch trades in SYMBOLS (else in all) as they happen, until Ctrl-C."""
    known = _instruments(setting)
    wanted = {symbol: listed(known, symbol) for symbol in symbols or known}
    with _subscribe(setting, list(wanted), (Channel.TRADES,)) as feed, suppress(KeyboardInterrupt):
        for trade in _trades(feed, setting):
            instrument = wanted[trade.symbol]
            click.echo(
                _json_line(trade, instrument) if setting.as_json else _line(trade, instrument)
            )


def _trades(feed: MarketData, setting: Setting) -> Iterator[Trade]:
    events = _first(feed, setting)
    while True:
        for event in events:
            if isinstance(event, Trade):
                yield event
        events = feed.poll(1.0)


def _time(trade: Trade) -> str:
    return datetime.fromtimestamp(trade.transact_time / 1e9, UTC).isoformat(timespec="milliseconds")


def _line(trade: Trade, instrument: SecurityList) -> str:
    side = trade.aggressor_side.name.lower()
    price = money(trade.md_entry_px, instrument)
    return (
        f"{_time(trade)[11:23]}  {trade.symbol:<8} {side:<4} {trade.md_entry_size:>9} {price:>12}"
    )


def _json_line(trade: Trade, instrument: SecurityList) -> str:
    return json.dumps(
        {
            "time": _time(trade),
            "symbol": trade.symbol,
            "price": money(trade.md_entry_px, instrument),
            "qty": trade.md_entry_size,
            "aggressor": trade.aggressor_side.name.lower(),
            "trade": trade.trd_match_id,
        }
    )
