"""`rtes flags`: for whom features are on; list, set, explain."""

from collections.abc import Sequence
from typing import Any

import click
from rtes.control.cli_common import Operator, operator


@click.group()
def flags() -> None:
    """Turn features on for some, for all or for nobody, while the exchange runs."""


@flags.command("list")
@operator(remote=True)
def list_flags(op: Operator) -> None:
    """List the flags, who they are on for, and who set them so."""
    op.table(op.ask("flags list"), ("flag", "on_for", "set_by", "unit", "what"))


@flags.command("set")
@operator(reason=True, remote=True)
@click.argument("name")
@click.option("--on", is_flag=True, help="For all.")
@click.option("--off", is_flag=True, help="For nobody: kill it.")
@click.option("--percent", type=click.FloatRange(0, 100), help="For so many of the units.")
@click.option("--allow", multiple=True, help="On for this unit; repeatable.")
@click.option("--deny", multiple=True, help="Off for this unit; repeatable.")
@click.option("--clear", is_flag=True, help="As the configuration says.")
@click.option("--symbol", default="", help="A flag of the matcher: only in this symbol.")
def set_flag(
    op: Operator,
    name: str,
    on: bool,
    off: bool,
    percent: float | None,
    allow: Sequence[str],
    deny: Sequence[str],
    clear: bool,
    symbol: str,
) -> None:
    """Set NAME in all services within half a second; it holds over restarts.

    A higher percentage only adds units, a lower one takes the same ones out. --off beats
    everything, then --deny, --allow, the configuration's rules, the percentage. --reason is
    required: it is what the audit log will say.

    A flag of the matcher is --on or --off, in all symbols or in one --symbol, from the next order
    on: that is a sequenced command, and a replay sees it."""
    state = on + off + (percent is not None)
    if state + clear > 1 or not (state or clear or allow or deny) or (clear and (allow or deny)):
        raise click.UsageError("say one of --on, --off, --percent or --clear, or --allow, --deny")
    if not op.reason.strip():
        raise click.UsageError("say why: --reason TEXT")
    enabled = on if on or off else None
    row = op.ask(
        "flags set", name=name, enabled=enabled, percent=percent, allow=list(allow),
        deny=list(deny), clear=clear, symbol=symbol,
    )  # fmt: skip
    op.emit(row, f"{name} is on for {row['on_for']}")


@flags.command()
@operator(remote=True)
@click.argument("name")
@click.argument("unit")
@click.option("--attribute", "attributes", multiple=True, help="NAME=VALUE, like role=operator.")
def explain(op: Operator, name: str, unit: str, attributes: Sequence[str]) -> None:
    """Say whether NAME is on for UNIT, and why."""
    said: dict[str, str] = {}
    for attribute in attributes:
        key, equals, value = attribute.partition("=")
        if not equals:
            raise click.UsageError(f"--attribute {attribute}: write it NAME=VALUE")
        said[key] = value
    answer = op.ask("flags explain", name=name, unit=unit, attributes=said)
    op.emit(answer, _explained(answer))


def _explained(answer: dict[str, Any]) -> str:
    state = "on" if answer["on"] else "off"
    said = f"{answer['flag']} is {state} for {answer['unit']}: {answer['reason']}"
    if answer["reason"] == "percentage":
        said += f" ({answer['unit']} is at {answer['bucket_percent']:.3f} % of "
        said += f"{answer['percent']:g} %)"
    return said
