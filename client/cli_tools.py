"""`rtes status`, `version` and `completion`: about the exchange and the tool itself.

status asks the exchange's health page over HTTP; nothing here logs on.
"""

import contextlib
import json
from importlib import metadata
from typing import Any

import click
from click.shell_completion import get_completion_class
from rtes.client.cli_common import Setting, shared, show_table
from rtes.client.errors import RtesError
from rtes.common import compiled
from rtes.common.config import Config
from rtes.common.healthpage import how_to_see, page


@click.command()
@shared(account=None)
@click.pass_context
def status(ctx: click.Context, setting: Setting) -> None:
    """Show how the exchange is, service by service.

    The exit code is 1 when it is unhealthy."""
    health = _health(setting.config)
    columns = ("service", "shard ", "status", "pid ", "age ", "why")
    rows = [
        (s["service"], s["shard"], s["status"], s.get("pid"),
         f"{s['age_s']:.1f} s" if "age_s" in s else None, "; ".join(s["why"]))
        for s in health.get("services", [])
    ]  # fmt: skip

    def show() -> None:
        click.echo(f"exchange at {setting.config.http_url}: {health['status']}")
        if "services" in health:
            show_table(columns, rows, "no services")
        else:
            hint = how_to_see(setting.config)
            click.echo(f"services are shown with security.http_token; {hint}", err=True)

    setting.emit(health, show)
    if health["status"] == "unhealthy":
        ctx.exit(1)


def _health(config: Config) -> dict[str, Any]:
    """Without services for who may not see them. Raises RtesError, or as page() does."""
    _, body = page(config, "/health")
    with contextlib.suppress(ValueError):
        health = json.loads(body)
        if isinstance(health, dict) and "status" in health:
            return health
    raise RtesError(f"what answers at {config.http_url}/health is not an RTES exchange")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def version(as_json: bool) -> None:
    """Print the version, and whether the hot modules run compiled."""
    number, status = metadata.version("rtes"), compiled.status()
    value = {"version": number, "compiled": len(compiled.compiled())}
    click.echo(json.dumps(value) if as_json else f"rtes {number} ({status})")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    bash: eval "$(rtes completion bash)" in ~/.bashrc; zsh alike; fish: rtes completion fish |
    source."""
    found = get_completion_class(shell)
    if found is None:
        raise RtesError(f"no completion for {shell}")
    root = ctx.find_root().command
    click.echo(found(root, {}, "rtes", "_RTES_COMPLETE").source())
