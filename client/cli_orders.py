"""`rtes order`, `cancel`, `replace` and `orders`: an account's own orders.

Each command is one short session of the account: it logs on, asks, prints the answer and leaves;
orders stay. A newer logon of an account takes over from an older one.
"""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeVar

import click
from rtes.client.blocking import Client
from rtes.client.cli_common import (
    Setting,
    canceled,
    listed,
    parse_money,
    shared,
    show_table,
    told,
    word,
)
from rtes.client.cli_money import in_words, money, price_or_none, ticks
from rtes.client.errors import Rejected, RtesError
from rtes.client.orders import Order
from rtes.common.enums import ExecType, OrdStatus, OrdType, Side, TimeInForce
from rtes.common.messages import ExecutionReport, OrderMassStatusRequest, SecurityList

TYPES: Final = {word(t): t for t in OrdType}
TIFS: Final = {word(t): t for t in TimeInForce}
_ID: Final = click.IntRange(1, 2**63 - 1)
_QTY: Final = click.IntRange(1, 10**12)
_T = TypeVar("_T")


class Amounts(click.Command):
    """Takes a negative number for one that is too low, not for an option it does not know."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        low = next((a for a in args if a[:1] == "-" and a[1:2].isdigit()), None)
        if low is not None:
            raise click.UsageError(f"{low} is below zero; quantities and prices are above it", ctx)
        return super().parse_args(ctx, args)


@click.group()
def order() -> None:
    """Send an order.

    Without --price it is a market order; --stop makes it a stop order."""


order.command_class = Amounts


def _terms(function: Callable[..., None]) -> Callable[..., None]:
    """The arguments and options of both sides."""
    for option in (
        click.option(
            "--expire-in",
            type=click.IntRange(1, 10**9),
            metavar="SECONDS",
            help="Expire then (TIF gtd).",
        ),
        click.option("--post-only", is_flag=True, help="Refuse rather than trade at once."),
        click.option("--min-qty", type=_QTY, help="Least lots to trade at once, else nothing."),
        click.option("--display", type=_QTY, help="Iceberg: lots shown at a time."),
        click.option("--stop", type=parse_money, metavar="MONEY", help="Trigger price."),
        click.option("--tif", type=click.Choice(list(TIFS)), help="How long it stays; day."),
        click.option("--type", "kind", type=click.Choice(list(TYPES)), help="Else from prices."),
        click.option(
            "--price", "price_option", type=parse_money, metavar="MONEY", help="Limit price."
        ),
        click.argument("price", type=parse_money, required=False),
        click.argument("qty", type=_QTY),
        click.argument("symbol"),
    ):
        function = option(function)
    return function


@order.command()
@_terms
@shared()
def buy(setting: Setting, **terms: Any) -> None:
    """Buy QTY lots of SYMBOL.

    PRICE may also be given as --price."""
    _send(setting, Side.BUY, **terms)


@order.command()
@_terms
@shared()
def sell(setting: Setting, **terms: Any) -> None:
    """Sell QTY lots of SYMBOL.

    PRICE may also be given as --price."""
    _send(setting, Side.SELL, **terms)


def _send(
    setting: Setting,
    side: Side,
    symbol: str,
    qty: int,
    price: Decimal | None,
    price_option: Decimal | None,
    stop: Decimal | None,
    expire_in: int | None,
    **terms: Any,
) -> None:
    if price is not None and price_option is not None:
        raise click.UsageError("the price is given twice, as PRICE and as --price")
    price = price_option if price is None else price
    fills: list[ExecutionReport] = []

    def on_report(report: object) -> None:
        if isinstance(report, ExecutionReport) and report.exec_type is ExecType.TRADE:
            fills.append(report)

    with setting.connect(on_report) as client:
        instrument = listed(client.instruments(), symbol)
        sent = _explained(
            instrument,
            lambda: (client.buy if side is Side.BUY else client.sell)(
                symbol,
                qty,
                None if price is None else ticks(price, instrument),
                stop_px=0 if stop is None else ticks(stop, instrument),
                **_expiry(expire_in, terms.pop("tif")),
                **_optional(**terms),
            ),
        )
    mine = [f for f in fills if f.cl_ord_id == sent.cl_ord_id]
    value = _order_json(sent, instrument) | {
        "avg_price": money(sent.avg_px, instrument) if sent.avg_px else None,
        "fills": [_fill_json(f, instrument) for f in mine],
    }
    setting.emit(value, lambda: _show_sent(sent, mine, instrument))


def _explained(instrument: SecurityList, call: Callable[[], _T]) -> _T:
    try:
        return call()
    except Rejected as error:
        raise in_words(error, instrument) from None


def _expiry(expire_in: int | None, tif: str | None) -> dict[str, Any]:
    if expire_in is None:
        return {"tif": TIFS[tif or "day"]}
    if tif not in (None, "gtd"):
        raise click.UsageError(f"--expire-in goes with --tif gtd, not {tif}")
    return {"tif": TimeInForce.GTD, "expire_time": time.time_ns() + expire_in * 1_000_000_000}


def _optional(
    kind: str | None, post_only: bool, display: int | None, min_qty: int | None
) -> dict[str, Any]:
    return {
        "ord_type": None if kind is None else TYPES[kind],
        "post_only": post_only,
        "display_qty": display or 0,
        "min_qty": min_qty or 0,
    }


def _order_json(o: Order, instrument: SecurityList) -> dict[str, Any]:
    return {
        "cl_ord_id": o.cl_ord_id,
        "symbol": o.symbol,
        "side": word(o.side),
        "qty": o.order_qty,
        "price": price_or_none(o.price, instrument),
        "status": word(OrdStatus(o.status or OrdStatus.NEW)),
        "filled": o.cum,
        "open": o.leaves,
        "reason": o.refusal or None,
    }


def _fill_json(fill: ExecutionReport, instrument: SecurityList) -> dict[str, Any]:
    price = money(fill.last_px, instrument)
    return {"qty": fill.last_qty, "price": price, "trade": fill.trd_match_id}


def _show_sent(o: Order, fills: list[ExecutionReport], instrument: SecurityList) -> None:
    for fill in fills:
        click.echo(f"filled {fill.last_qty} at {money(fill.last_px, instrument)}")
    click.echo(_line(o, instrument))


def _line(o: Order, instrument: SecurityList) -> str:
    price = f" at {money(o.price, instrument)}" if o.price else ""
    status = word(OrdStatus(o.status or OrdStatus.NEW))
    return (
        f"order {o.cl_ord_id}: {word(o.side)} {o.order_qty} {o.symbol}{price}: {status}, "
        f"{o.cum} filled, {o.leaves} open{f' ({o.refusal})' if o.refusal else ''}"
    )


@click.command()
@click.argument("cl_ord_id", type=_ID, required=False)
@click.argument("symbol", required=False)
@click.option("--all", "every", is_flag=True, help="Cancel all open orders of the account.")
@shared()
def cancel(setting: Setting, cl_ord_id: int | None, symbol: str | None, every: bool) -> None:
    """Cancel the order CL_ORD_ID in SYMBOL, or --all orders."""
    if every:
        if cl_ord_id is not None:
            raise click.UsageError("give an order or --all, not both")
        with setting.connect() as client:
            count = client.cancel_all()
        setting.emit({"canceled": count}, told(canceled(count)))
        return
    if cl_ord_id is None or symbol is None:
        raise click.UsageError("say which order: CL_ORD_ID SYMBOL as in `rtes orders`, or --all")
    with setting.connect() as client:
        listed(client.instruments(), symbol)
        client.cancel(cl_ord_id, symbol)
    setting.emit({"canceled": 1, "cl_ord_id": cl_ord_id}, told(f"order {cl_ord_id} canceled"))


@click.command()
@click.argument("cl_ord_id", type=_ID)
@click.argument("symbol")
@click.option("--qty", type=_QTY, help="New total quantity, filled lots included.")
@click.option("--price", type=parse_money, metavar="MONEY", help="New limit price.")
@shared()
def replace(
    setting: Setting, cl_ord_id: int, symbol: str, qty: int | None, price: Decimal | None
) -> None:
    """Change the order CL_ORD_ID in SYMBOL; it gets a new id."""
    if qty is None and price is None:
        raise click.UsageError("give --qty, --price or both")
    with setting.connect() as client:
        instrument = listed(client.instruments(), symbol)
        stop_px = _find(client, cl_ord_id, symbol).stop_px
        changed = client.orders[cl_ord_id]
        new_price = None if price is None else ticks(price, instrument)
        _explained(instrument, lambda: client.replace(changed, qty, new_price, stop_px))
    value = _order_json(changed, instrument) | {"orig_cl_ord_id": cl_ord_id}
    setting.emit(value, told(f"{_line(changed, instrument)}; it was order {cl_ord_id}"))


def _open(client: Client, symbol: str = "") -> list[ExecutionReport]:
    reports = client.ask(OrderMassStatusRequest(client.next_id(), symbol))
    kind = ExecType.ORDER_STATUS
    return [r for r in reports if isinstance(r, ExecutionReport) and r.exec_type is kind]


def _find(client: Client, cl_ord_id: int, symbol: str) -> ExecutionReport:
    for report in _open(client, symbol):
        if report.cl_ord_id == cl_ord_id:
            return report
    raise RtesError(f"no open order {cl_ord_id} in {symbol}; see `rtes orders`")


@click.command()
@shared()
def orders(setting: Setting) -> None:
    """List your open orders."""
    with setting.connect() as client:
        instruments = client.instruments()
        found = [_status(r, instruments[r.symbol]) for r in _open(client)]
    columns = ("id ", "symbol", "side", "type", "tif", "qty ", "price ", "stop ", "filled ",
               "open ", "shown ")  # fmt: skip
    setting.emit(
        found,
        lambda: show_table(columns, (list(row.values()) for row in found), "no open orders"),
    )


def _status(r: ExecutionReport, instrument: SecurityList) -> dict[str, Any]:
    return {
        "cl_ord_id": r.cl_ord_id,
        "symbol": r.symbol,
        "side": word(Side(r.side)),
        "type": word(OrdType(r.ord_type)),
        "tif": word(TimeInForce(r.time_in_force)),
        "qty": r.order_qty,
        "price": price_or_none(r.price, instrument),
        "stop": price_or_none(r.stop_px, instrument),
        "filled": r.cum_qty,
        "open": r.leaves_qty,
        "display": r.display_qty or None,
    }
