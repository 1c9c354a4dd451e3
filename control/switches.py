"""Operations that are commands to the exchange: emergency stages, kill switches, matcher flags.

Each goes to the gateway as a request of an operator's account, is sequenced, journaled and
replayed, so it is latched over every restart until it is lifted. Neither health nor supervisord
need run for it, and a full disk holds up neither it nor its record. Only the throttle changes no
outcome and is not sequenced: it is an empty file that gateways look for. Cancels pass at every
stage, and without new orders nothing trades, so a halt is what cancel-only is.
"""

import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from rtes.client.blocking import Client
from rtes.client.errors import Rejected, RtesError
from rtes.common.config import Config
from rtes.common.config_env import did_you_mean
from rtes.common.enums import FlagAction, PartyAction, Role
from rtes.common.errors import OperatorError
from rtes.common.flagwire import FeatureFlagReport, FeatureFlagRequest
from rtes.common.messages import PartyActionReport, PartyActionRequest
from rtes.common.refdata import load_accounts
from rtes.common.refusals import Code
from rtes.control.desk import EMERGENCY, Desk, Operation, Plan
from rtes.control.setup import OPERATOR
from rtes.control.stop import stop as stop_services
from rtes.control.supervisor import Supervisor

RESUME: Final = "emergency:resume"  # not done without a record, unlike the stop itself
STAGES: Final = ("throttle", "cancel-only", "halt", "mass-cancel", "stop", "resume")
TIMEOUT_S: Final = 20.0
ASK_S: Final = 2.0
ACTIONS: Final = {
    "suspend": PartyAction.SUSPEND,
    "halt": PartyAction.HALT_TRADING,
    "reinstate": PartyAction.REINSTATE,
}


@contextmanager
def _as_operator(config: Config, account: str, timeout_s: float) -> Iterator[Client]:
    """A session of an operator's account. Raises OperatorError, whatever fails in it."""
    try:
        with Client.connect(account, config=config, timeout_s=timeout_s) as client:
            yield client
    except RtesError as error:
        raise OperatorError(str(error)) from None


def _check_operator(desk: Desk, account: str) -> None:
    """From elsewhere only operators' sessions are taken over. Raises OperatorError."""
    if not desk.served:
        return
    known = load_accounts(desk.paths.accounts_file).accounts
    if not any(a.name == account and a.role is Role.OPERATOR for a in known):
        raise OperatorError(f"{account} is not an operator's account; see rtes participants list")


# ---------------------------------------------------------------- emergency


def _stage(stage: str, desk: Desk, operator: str = OPERATOR) -> Plan:
    """Answers {"canceled": orders, "warnings": what could not be done}."""
    _check_operator(desk, operator)
    apply = {"throttle": _throttle, "stop": _stop}.get(stage, partial(_switch_all, stage))
    return Plan("exchange", partial(apply, desk, operator), new=stage)


def _throttle(desk: Desk, _operator: str) -> dict[str, Any]:
    desk.paths.throttle_file.touch(0o600)
    return {"canceled": 0, "warnings": []}


def _switch_all(stage: str, desk: Desk, operator: str) -> dict[str, Any]:
    if stage == "resume":
        desk.paths.throttle_file.unlink(missing_ok=True)
    actions = {"mass-cancel": PartyAction.HALT_TRADING, "resume": PartyAction.REINSTATE}
    with _as_operator(desk.config, operator, TIMEOUT_S) as client:
        reports = _party(client, actions.get(stage, PartyAction.SUSPEND))
    return {"canceled": sum(r.total_affected_orders for r in reports), "warnings": []}


def _stop(desk: Desk, operator: str) -> dict[str, Any]:
    """Goes on where a part of it cannot be done."""
    warnings = []
    try:
        _switch_all("stop", desk, operator)
    except (OperatorError, OSError) as error:
        warnings.append(f"the stop goes on without suspending the symbols: {error}")
    if not _end_services(desk):
        if warnings:
            raise OperatorError(f"{warnings[0]}; no supervisord answers: nothing was stopped")
        warnings.append("no supervisord runs here, so no service was ended")
    return {"canceled": 0, "warnings": warnings}


def _end_services(desk: Desk) -> bool:
    """Whether there was a supervisord. A server of operations is one of its programs, so from
    there another process, which outlives it, does it, and the answer comes first."""
    supervisor = Supervisor()
    try:
        if not desk.served:
            return stop_services(supervisor)
        if supervisor.pid() is None:
            return False
    except xmlrpc.client.Fault:  # it is stopping already
        return True
    subprocess.Popen(
        [sys.executable, "-m", "rtes.control.stop"], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return True


# ---------------------------------------------------------------- kill switches


def _kill(
    action: PartyAction,
    desk: Desk,
    account: str = "",
    symbol: str = "",
    session: bool = False,
    operator: str = OPERATOR,
) -> Plan:
    """Of an account, its session, its trading in a symbol, or a symbol; answers {"canceled"}."""
    if not account and not symbol:
        raise OperatorError("say what to stop: an account, a symbol or both")
    if session and (symbol or not account):
        raise OperatorError("a session is an account's, in all symbols")
    _check_operator(desk, operator)

    def apply() -> dict[str, int]:
        with _as_operator(desk.config, operator, TIMEOUT_S) as client:
            if symbol:
                _listed(client, symbol)
            reports = _party(client, action, account, symbol, int(session))
        return {"canceled": sum(r.total_affected_orders for r in reports)}

    target = " in ".join(name for name in (account, symbol) if name)
    return Plan(f"session of {target}" if session else target, apply, new=action.name.lower())


def _listed(client: Client, symbol: str) -> None:
    known = client.instruments()
    if symbol not in known:
        hint = did_you_mean(symbol, known) or f"; there are {', '.join(known)}"
        raise OperatorError(f"{symbol} is not listed{hint}")


def _party(client: Client, action: PartyAction, *what: Any) -> list[PartyActionReport]:
    """What the matcher shards that are concerned say. Raises OperatorError, RtesError."""
    try:
        told = client.ask(PartyActionRequest(client.next_id(), action, *what))
        reports = [r for r in told if isinstance(r, PartyActionReport)]
        done = [r for r in reports if not r.reject_code]
        if not done:
            raise Rejected(next((r.reject_code for r in reports), 0))
    except Rejected as error:
        if error.code != Code.NOT_AUTHORIZED:
            raise
        text = f"{client.account} is not an operator"
        text += f", or there is no account {what[0]}" if what and what[0] else ""
        raise Rejected(error.code, text=text) from None
    return done


# ---------------------------------------------------------------- flags of the matcher


def switch_flag(config: Config, flag: str, action: FlagAction, symbol: str = "") -> list[str]:
    """The symbols where the flag is on from here on. Raises OperatorError."""
    timeout_s = ASK_S if action is FlagAction.TELL else TIMEOUT_S
    with _as_operator(config, OPERATOR, timeout_s) as client:
        if symbol:
            _listed(client, symbol)
        told = client.ask(FeatureFlagRequest(client.next_id(), flag, action, symbol))
    reports = [r for r in told if isinstance(r, FeatureFlagReport)]
    if all(r.reject_code for r in reports):
        raise OperatorError(str(Rejected(next((r.reject_code for r in reports), 0))))
    return sorted(s for r in reports for s in r.symbols.split(",") if s)


def _permission(lifts: bool) -> str:
    return RESUME if lifts else EMERGENCY


SWITCHES: Final[Mapping[str, Operation]] = {
    **{
        f"emergency {stage}": Operation(_permission(stage == "resume"), partial(_stage, stage))
        for stage in STAGES
    },
    **{
        f"kill {name}": Operation(
            _permission(action is PartyAction.REINSTATE), partial(_kill, action)
        )
        for name, action in ACTIONS.items()
    },
}
