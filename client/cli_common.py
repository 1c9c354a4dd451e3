"""What the commands share: who and where (--account, --profile), and --json or tables.

Every command prints one thing: a JSON value on one line with --json, else text or a table. Money
in JSON is a string, so that nobody reads it as a float.
"""

import difflib
import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rtes.client.blocking import Client, OnReport
from rtes.client.errors import RtesError
from rtes.common.config import Config, running
from rtes.common.messages import SecurityList
from rtes.control.profile_option import profile_option

NOTHING: Final = "-"
DIGITS_MAX: Final = 20  # of a price; more than 10**12 ticks need, and exact in Decimal


def parse_money(text: str) -> Decimal:
    """A price above zero. Raises click.BadParameter."""
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise click.BadParameter(f"{text!r} is not a price; write it like 585.25") from None
    if not price.is_finite() or price <= 0:
        raise click.BadParameter(f"{text!r} is not a price above zero")
    if abs(price.adjusted()) >= DIGITS_MAX or len(price.as_tuple().digits) > DIGITS_MAX:
        raise click.BadParameter(f"{text!r} has more than {DIGITS_MAX} digits")
    return price


@dataclass(frozen=True)
class Setting:
    """What the shared options say."""

    account: str
    profile: str
    as_json: bool

    @functools.cached_property
    def config(self) -> Config:
        """Of the mesh as it was started. Raises ConfigError."""
        return running(self.profile)

    def connect(self, on_report: OnReport | None = None) -> Client:
        """Log on. Raises RtesError."""
        return Client.connect(self.account, config=self.config, on_report=on_report)

    def emit(self, value: Any, show: Callable[[], None]) -> None:
        """Print value as JSON, or else call show."""
        if self.as_json:
            click.echo(json.dumps(value))
        else:
            show()


def shared(account: str | None = "DEMO1") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the shared options; the function gets them as `setting`. account is the default; None
    where nobody needs to log on."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(profile: str, as_json: bool, account: str = "", **rest: Any) -> None:
            function(Setting(account, profile, as_json), **rest)

        decorated: Callable[..., None] = command
        for option in (_json, profile_option):
            decorated = option(decorated)
        return _account(account)(decorated) if account else decorated

    return decorate


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _account(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option("--account", default=default, show_default=True, help="Who you are.")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print a table; a column whose name ends in a space is flush right. empty: for no rows."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.strip(), justify="right" if column.endswith(" ") else "left")
    for row in rows:
        table.add_row(*(NOTHING if cell is None else str(cell) for cell in row))
    if table.row_count:
        Console(markup=False, emoji=False).print(table)  # a key may have brackets and colons
    else:
        click.echo(empty)


def listed(instruments: Mapping[str, SecurityList], symbol: str) -> SecurityList:
    """The instrument. Raises RtesError that says which there are."""
    if symbol in instruments:
        return instruments[symbol]
    near = difflib.get_close_matches(symbol.upper(), instruments, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(instruments)}"
    raise RtesError(f"{symbol} is not listed; {hint}")


def told(text: str) -> Callable[[], None]:
    """For emit: prints this line."""
    return lambda: click.echo(text)


def word(member: Any) -> str:
    """An enum's member as people write it: MARKET_TO_LIMIT is market-to-limit."""
    return str(member.name).lower().replace("_", "-")


def canceled(count: int) -> str:
    """How many orders were canceled."""
    return "1 order canceled" if count == 1 else f"{count} orders canceled"
