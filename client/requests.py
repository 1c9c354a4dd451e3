"""The messages of the friendly calls and how their answers are read, the same for both clients."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import astuple
from rtes.client.errors import Rejected, RtesError
from rtes.client.orders import Order
from rtes.common import messages as m
from rtes.common.enums import (
    ExecInst,
    MassCancelType,
    OrdType,
    Side,
    SmpInstruction,
    TimeInForce,
)


def new_order(
    cl_ord_id: int,
    symbol: str,
    side: Side,
    qty: int,
    price: int | None = None,
    *,
    ord_type: OrdType | None = None,
    tif: TimeInForce = TimeInForce.DAY,
    stop_px: int = 0,
    display_qty: int = 0,
    min_qty: int = 0,
    post_only: bool = False,
    expire_time: int = 0,
    smp_id: int = 0,
    smp_instruction: SmpInstruction = SmpInstruction.CANCEL_NEWEST,
) -> m.NewOrderSingle:
    """A NewOrderSingle; without ord_type it follows from price and stop_px.

    price and stop_px in ticks, quantities in lots, expire_time in ns UTC."""
    return m.NewOrderSingle(
        cl_ord_id,
        symbol,
        side,
        qty,
        ord_type or _type_of(price, stop_px),
        price or 0,
        tif,
        stop_px,
        ExecInst.POST_ONLY if post_only else ExecInst.NONE,
        display_qty,
        min_qty,
        expire_time,
        smp_id,
        smp_instruction,
    )


def _type_of(price: int | None, stop_px: int) -> OrdType:
    if stop_px:
        return OrdType.STOP if price is None else OrdType.STOP_LIMIT
    return OrdType.MARKET if price is None else OrdType.LIMIT


def cancel_request(
    cl_ord_id: int, orders: Mapping[int, Order], order: Order | int, symbol: str
) -> m.OrderCancelRequest:
    """For an order, or the cl_ord_id of one; symbol is needed for one that orders lacks."""
    if isinstance(order, int):
        if not symbol and order not in orders:
            raise RtesError(f"order {order} is not of this session; say its symbol too")
        return m.OrderCancelRequest(cl_ord_id, symbol or orders[order].symbol, order)
    return m.OrderCancelRequest(cl_ord_id, order.symbol, order.cl_ord_id)


def replace_request(
    cl_ord_id: int, order: Order, qty: int | None, price: int | None, stop_px: int | None
) -> m.OrderCancelReplaceRequest:
    """None keeps what the order has."""
    return m.OrderCancelReplaceRequest(
        cl_ord_id,
        order.symbol,
        order.cl_ord_id,
        order.order_qty if qty is None else qty,
        order.price if price is None else price,
        order.stop_px if stop_px is None else stop_px,
    )


def mass_cancel_request(cl_ord_id: int, symbol: str, side: str) -> m.OrderMassCancelRequest:
    """Empty for all."""
    kind = MassCancelType.SYMBOL if symbol else MassCancelType.ALL
    return m.OrderMassCancelRequest(cl_ord_id, kind, symbol, side)


def raise_if_refused(request: Any, told: Iterable[m.Outbound]) -> None:
    """Raise Rejected when one of the messages refuses the request."""
    tag = request.__struct_config__.tag
    cl_ord_id = getattr(request, "cl_ord_id", 0)
    for message in told:
        match message:
            case m.OrderCancelReject(cl_ord_id=refused) if refused == cl_ord_id:
                raise Rejected(message.reject_code, message.limit, message.value)
            case m.BusinessMessageReject(cl_ord_id=refused, ref_msg_type=kind):
                if refused == cl_ord_id and kind == tag:
                    raise Rejected(message.reject_code, message.limit, message.value)
            case m.Reject(ref_msg_type=kind) if kind in (tag, ""):
                raise Rejected(message.reject_code, message.limit, message.value, message.text)


def total_canceled(told: Iterable[m.Outbound]) -> int:
    """Orders canceled by a mass cancel, over all matcher shards."""
    return sum(r.total_affected_orders for r in told if isinstance(r, m.OrderMassCancelReport))


def rows_of(told: Sequence[m.Outbound], kind: type, request_id: str) -> list[Any]:
    """The rows that answer a question; their first field echoes its id."""
    return [r for r in told if isinstance(r, kind) and astuple(r)[0] == request_id]
