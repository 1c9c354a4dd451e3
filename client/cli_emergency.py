"""`rtes emergency`: stops the whole exchange by hand, in stages, and lets it trade again."""

from typing import Final

import click
from rtes.control.cli_common import Operator, operator
from rtes.control.setup import OPERATOR

STAGES: Final = {
    "throttle": "every session has a share of its message rate (session.throttled_share)",
    "cancel-only": "no symbol takes orders; cancels pass",
    "halt": "no symbol takes orders or trades; cancels pass",
    "mass-cancel": "no symbol takes orders, and every open order is canceled",
    "stop": "no symbol takes orders, a snapshot is made, and all services stop",
    "resume": "every symbol takes orders again",
}


@click.command()
@operator(reason=True, remote=True)
@click.argument("stage", type=click.Choice(list(STAGES)))
@click.option("--operator", "who", default=OPERATOR, show_default=True, help="Whose session.")
def emergency(op: Operator, stage: str, who: str) -> None:
    """Stop the whole exchange, or let it trade again.

    throttle: within half a second every session may send a tenth of its messages, cancels pass
    (session.throttled_share). cancel-only, or halt: no symbol takes orders and so none trades,
    cancels pass. mass-cancel: every open order is canceled, too. stop: a snapshot is made and
    all services stop; open orders stay. It holds, over restarts, until resume. --reason is
    required: the audit log keeps it.

    For one account, session or symbol see `rtes kill`."""
    if not op.reason.strip():
        raise click.UsageError("say why: --reason TEXT")
    done = op.ask(f"emergency {stage}", operator=who)
    for warning in done["warnings"]:
        click.echo(warning, err=True)
    value = {"stage": stage, "canceled": done["canceled"]}
    op.emit(value, STAGES[stage] + (f" ({done['canceled']})" if stage == "mass-cancel" else ""))
