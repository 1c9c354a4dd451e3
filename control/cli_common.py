"""What the operator's commands share: --profile, --reason, --json, and asking for an operation."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rtes.common.config import Config, running
from rtes.control.caller import perform
from rtes.control.profile_option import profile_option
from rtes.control.remote import ask

_PARAMETERS: Final = "__click_params__"


@dataclass(frozen=True)
class Operator:
    """What the shared options say."""

    profile: str
    as_json: bool
    reason: str = ""
    key: Path | None = None

    @property
    def config(self) -> Config:
        """Of the exchange as it was started. Raises ConfigError."""
        return running(self.profile)

    def ask(self, operation: str, **arguments: Any) -> Any:
        """Do an operation. Raises OperatorError."""
        if self.key is not None:
            request = {"operation": operation, "arguments": arguments, "reason": self.reason}
            return ask(self.key, request)
        return perform(self.config, operation, arguments, self.reason, self.profile)

    def emit(self, value: Any, text: str) -> None:
        """Print value as JSON, or text."""
        click.echo(json.dumps(value) if self.as_json else text)

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Print rows as JSON, or these columns of them."""
        if self.as_json:
            click.echo(json.dumps(list(rows)))
            return
        table = Table(*columns, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(_cell(row.get(column)) for column in columns))
        Console(soft_wrap=True, markup=False, emoji=False).print(table)


def operator(
    reason: bool = False, profile: bool = True, remote: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the shared options; the function gets them as its first argument. profile=False: the
    command names a configuration file itself; remote: it works on other hosts' exchanges, too."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def command(
            as_json: bool,
            profile: str = "dev",
            reason: str = "",
            key_file: Path | None = None,
            **rest: Any,
        ) -> None:
            function(Operator(profile, as_json, reason, key_file), **rest)

        command.__doc__, command.__name__ = function.__doc__, function.__name__
        # options that stand below this decorator
        setattr(command, _PARAMETERS, getattr(function, _PARAMETERS, []))
        decorated: Callable[..., None] = _json(command)
        if profile:
            decorated = profile_option(decorated)
        if remote:
            decorated = _key(decorated)
        return _reason(decorated) if reason else decorated

    return decorate


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_reason = click.option("--reason", default="", help="Why; kept in the audit log.")
_key = click.option(
    "--key", "key_file", type=click.Path(path_type=Path), help="Act on another host's exchange."
)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(v) for v in value) or "-"
    return "-" if value in (None, "") else str(value)
