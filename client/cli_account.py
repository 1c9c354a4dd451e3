"""`rtes positions`, `usage`, `instruments` and the operators' `rtes kill`.

Positions, limits and their use are risk's answer, which is a projection of the matcher's journal.
Credit is in ticks x lots over all symbols, so it has no currency.
"""

from typing import Any, Final

import click
from rtes.client.cli_common import Setting, canceled, shared, show_table, word
from rtes.client.cli_money import price_or_none
from rtes.common.messages import SecurityList
from rtes.control.cli_common import Operator, operator
from rtes.control.setup import OPERATOR
from rtes.control.switches import ACTIONS

DONE: Final = {"suspend": "suspended", "halt": "halted", "reinstate": "reinstated"}


@click.command()
@shared()
def positions(setting: Setting) -> None:
    """List your positions, in lots; negative is short."""
    with setting.connect() as client:
        rows = [r for r in client.account_usage() if r.symbol]
    fields = ("symbol", "net_qty", "open_buy_qty", "open_sell_qty", "open_orders")
    found = [{name: getattr(r, name) for name in fields} for r in rows]
    columns = ("symbol", "position ", "open to buy ", "open to sell ", "open orders ")
    setting.emit(
        found, lambda: show_table(columns, (list(f.values()) for f in found), "no positions")
    )


@click.command()
@shared()
def usage(setting: Setting) -> None:
    """Show your limits and how much of them is used."""
    with setting.connect() as client:
        rows = client.account_usage()
    whole = next(r for r in rows if not r.symbol)
    largest = max((abs(r.net_qty) for r in rows if r.symbol), default=0)
    used = {
        "open orders": (whole.open_orders, whole.open_orders_max),
        "credit, ticks x lots": (whole.credit_used, whole.credit_max),
        "largest position, lots": (largest, whole.position_max),
    }
    value = {
        "account": whole.account,
        "suspended": bool(whole.suspended),
        "open_orders": whole.open_orders,
        "open_orders_max": whole.open_orders_max,
        "credit_used": whole.credit_used,
        "credit_max": whole.credit_max,
        "largest_position": largest,
        "position_max": whole.position_max,
    }

    def show() -> None:
        if whole.suspended:
            click.echo(f"{whole.account} is suspended by an operator; only cancels are taken")
        rows = [
            (name, f"{n:,}", f"{most:,}", f"{n / most:.1%}") for name, (n, most) in used.items()
        ]
        show_table(("limit", "used ", "of ", "share "), rows, "")

    setting.emit(value, show)


@click.command()
@shared()
def instruments(setting: Setting) -> None:
    """List what can be traded."""
    with setting.connect() as client:
        found = [_instrument(i) for i in client.instruments().values()]
    columns = ("symbol", "currency", "price step ", "reference ", "lot ", "lot step ",
               "least ", "largest ")  # fmt: skip
    setting.emit(
        found, lambda: show_table(columns, (list(f.values()) for f in found), "nothing is listed")
    )


def _instrument(i: SecurityList) -> dict[str, Any]:
    return {
        "symbol": i.symbol,
        "currency": i.currency,
        "price_step": price_or_none(i.min_price_increment, i),
        "reference_price": price_or_none(i.trading_reference_price, i),
        "lot_size": i.lot_size,
        "round_lot": i.round_lot,
        "min_qty": i.min_trade_vol,
        "max_qty": i.max_trade_vol,
    }


@click.command()
@operator(reason=True, remote=True)
@click.argument("action", type=click.Choice(list(ACTIONS)))
@click.option("--account", default="", metavar="NAME", help="The account to stop.")
@click.option("--symbol", default="", help="The symbol to stop.")
@click.option("--session", is_flag=True, help="Only the account's present session.")
@click.option("--operator", "who", default=OPERATOR, show_default=True, help="Whose session.")
def kill(op: Operator, action: str, account: str, symbol: str, session: bool, who: str) -> None:
    """Stop an account, a symbol or one's trading in the other, or let it trade again.

    suspend takes only cancels from then on; halt also cancels the open orders; reinstate lifts
    either. Needs the role emergency; the audit log keeps it, with --reason."""
    if not account and not symbol:
        raise click.UsageError("say what to stop: --account NAME, --symbol SYMBOL or both")
    if session and (symbol or not account):
        raise click.UsageError("--session goes with --account alone")
    done = op.ask(f"kill {action}", account=account, symbol=symbol, session=session, operator=who)
    what = " in ".join(name for name in (account, symbol) if name)
    count = done["canceled"]
    value = {"action": word(ACTIONS[action]), "of": what, "canceled": count}
    op.emit(value, f"{what} {DONE[action]}, {canceled(count)}")
