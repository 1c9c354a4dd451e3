"""`rtes emergency`: stops the whole exchange by hand, in stages, and lets it trade again.

A stage is a command like any other: sequenced, journaled and replayed, so it is latched over
every restart until it is lifted. It goes straight to the gateway: neither health nor supervisord
need run, and a full disk holds up neither it nor its record. Only the throttle changes no outcome
and is not sequenced: it is an empty file that gateways look for. Cancels pass at every stage, and
without new orders nothing trades, so a halt is what cancel-only is.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

import click
from rtes.client.blocking import Client
from rtes.client.errors import RtesError
from rtes.common.config import Config
from rtes.common.enums import PartyAction
from rtes.common.errors import OperatorError
from rtes.common.messages import PartyActionReport, PartyActionRequest
from rtes.common.paths import Paths
from rtes.control.cli_common import Operator, operator
from rtes.control.desk import EMERGENCY, Desk, Operation, Plan, local_identity
from rtes.control.stop import stop as stop_services
from rtes.control.supervisor import Supervisor

RESUME: Final = "emergency:resume"  # not done without a record, unlike the stop itself
TIMEOUT_S: Final = 20.0
STAGES: Final = {
    "throttle": "every session has a share of its message rate (session.throttled_share)",
    "cancel-only": "no symbol takes orders; cancels pass",
    "halt": "no symbol takes orders or trades; cancels pass",
    "mass-cancel": "no symbol takes orders, and every open order is canceled",
    "stop": "no symbol takes orders, a snapshot is made, and all services stop",
    "resume": "every symbol takes orders again",
}


def switch_all(config: Config, account: str, action: PartyAction) -> int:
    """Switch the trading of all symbols; returns how many orders were canceled by it.

    Raises RtesError."""
    with Client.connect(account, config=config, timeout_s=TIMEOUT_S) as client:
        reports = client.ask(PartyActionRequest(client.next_id(), action))
        return sum(r.total_affected_orders for r in reports if isinstance(r, PartyActionReport))


def _apply(config: Config, account: str, stage: str) -> Callable[[], Any]:
    throttled = Paths(config).throttle_file

    def throttle() -> int:
        throttled.touch(0o600)
        return 0

    def switch() -> int:
        if stage == "resume":
            throttled.unlink(missing_ok=True)
        actions = {"mass-cancel": PartyAction.HALT_TRADING, "resume": PartyAction.REINSTATE}
        return switch_all(config, account, actions.get(stage, PartyAction.SUSPEND))

    def stop() -> int:
        """Goes on where a part of it cannot be done."""
        suspended = True
        try:
            switch()
        except (RtesError, OSError) as error:
            suspended = False
            print(f"the stop goes on without suspending the symbols: {error}", file=sys.stderr)
        if not stop_services(Supervisor()):
            if not suspended:
                raise OperatorError("no gateway and no supervisord answers: nothing was stopped")
            print("no supervisord runs here, so no service was ended", file=sys.stderr)
        return 0

    return {"stop": stop, "throttle": throttle}.get(stage, switch)


def perform(op: Operator, account: str, stage: str) -> int:
    """Go to a stage; returns how many orders were canceled by it. Raises OperatorError,
    RtesError."""
    config = op.config
    permission = RESUME if stage == "resume" else EMERGENCY

    def plan(_desk: Desk) -> Plan:
        return Plan("exchange", _apply(config, account, stage), new=stage)

    name = f"emergency {stage}"
    desk = Desk(config, {name: Operation(permission, plan)})
    return int(desk.perform(local_identity(), name, {}, op.reason))


@click.command()
@operator(reason=True)
@click.argument("stage", type=click.Choice(list(STAGES)))
@click.option("--operator", "account", default="OPS", show_default=True, help="Who you are.")
def emergency(op: Operator, stage: str, account: str) -> None:
    """Stop the whole exchange, or let it trade again.

    throttle: within half a second every session may send a tenth of its messages, cancels pass
    (session.throttled_share). cancel-only, or halt: no symbol takes orders and so none trades,
    cancels pass. mass-cancel: every open order is canceled, too. stop: a snapshot is made and
    all services stop; open orders stay. It holds, over restarts, until resume. --reason is
    required: the audit log keeps it.

    For one account, session or symbol see `rtes kill`."""
    if not op.reason.strip():
        raise click.UsageError("say why: --reason TEXT")
    count = perform(op, account, stage)
    value = {"stage": stage, "canceled": count}
    op.emit(value, STAGES[stage] + (f" ({count})" if stage == "mass-cancel" else ""))
