"""Builds the messages of the friendly calls, the same for both clients."""

from rtes.common import messages as m
from rtes.common.enums import ExecInst, OrdType, Side, SmpInstruction, TimeInForce


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

