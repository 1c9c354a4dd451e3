"""What a participant keeps of its own: orders and positions, from reports, each counted once.

Prices are ticks, quantities lots. Both change only by applying reports in their order. Memory is
bounded: of done orders the latest are kept, and of an order the latest fills.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rtes.client.errors import Rejected
from rtes.common.enums import ExecType, OrdStatus, Side
from rtes.common.messages import (
    ExecutionReport,
    NewOrderSingle,
    OrderCancelReject,
)
from rtes.common.refusals import explain

DONE: Final = (OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED)
DONE_KEPT: Final = 10_000
FILLS_KEPT: Final = 100


class Fill(NamedTuple):
    """One trade of an order."""

    qty: int
    price: int
    trd_match_id: int
    transact_time: int


@dataclass
class Order:
    """One order of this account. avg_px is 0.0 before the first fill."""

    cl_ord_id: int
    symbol: str
    side: Side
    order_qty: int
    price: int
    status: OrdStatus | None = None  # None: not answered yet
    order_id: int = 0
    leaves: int = 0
    cum: int = 0
    avg_px: float = 0.0
    refusal: str = ""  # why the last request about it was refused
    reject_code: int = 0
    limit: int = 0
    value: int = 0
    stop_px: int = 0
    fills: list[Fill] = field(default_factory=list)  # the latest FILLS_KEPT

    @classmethod
    def of(cls, message: NewOrderSingle) -> "Order":
        order = cls(
            message.cl_ord_id, message.symbol, message.side, message.order_qty, message.price
        )
        order.stop_px = message.stop_px
        return order

    @classmethod
    def told(cls, report: ExecutionReport) -> "Order":
        """An order that another process of this account sent."""
        side, price = Side(report.side), report.price
        return cls(report.cl_ord_id, report.symbol, side, report.order_qty, price)

    @property
    def done(self) -> bool:
        return self.status in DONE

    def apply(self, report: ExecutionReport) -> None:
        """Take on what the report says."""
        if report.exec_type is ExecType.TRADE:
            notional = self.avg_px * self.cum + report.last_px * report.last_qty
            self.avg_px = notional / (self.cum + report.last_qty)
            self.fills.append(
                Fill(report.last_qty, report.last_px, report.trd_match_id, report.transact_time)
            )
            del self.fills[:-FILLS_KEPT]
        elif report.exec_type is ExecType.ORDER_STATUS:
            self.stop_px = report.stop_px
        self.status = report.ord_status
        self.order_id = report.order_id
        self.leaves, self.cum = report.leaves_qty, report.cum_qty
        self.order_qty, self.price = report.order_qty, report.price
        if report.reject_code:
            self.refuse(report)

    def check(self) -> None:
        """Raises Rejected when the exchange refused the order."""
        if self.status is OrdStatus.REJECTED:
            raise Rejected(self.reject_code, self.limit, self.value)

    def refuse(self, report: ExecutionReport | OrderCancelReject) -> None:
        """Remember why something about the order was refused."""
        self.reject_code, self.limit, self.value = report.reject_code, report.limit, report.value
        self.refusal = explain(report.reject_code, report.limit, report.value)


@dataclass
class Position:
    """Net position in one symbol; realized is in ticks x lots."""

    symbol: str
    qty: int = 0
    avg_px: float = 0.0
    realized: float = 0.0

    def trade(self, side: Side, qty: int, price: int) -> None:
        """Add one fill; closing part of a position realizes its profit."""
        signed = qty if side is Side.BUY else -qty
        if self.qty * signed >= 0:
            total = abs(self.qty) + qty
            self.avg_px = (self.avg_px * abs(self.qty) + price * qty) / total
            self.qty += signed
            return
        closing = min(qty, abs(self.qty))
        direction = 1 if self.qty > 0 else -1
        self.realized += direction * (price - self.avg_px) * closing
        self.qty += signed
        if self.qty == 0:
            self.avg_px = 0.0
        elif abs(signed) > closing:  # turned round: what is left was opened at this price
            self.avg_px = float(price)


@dataclass
class Account:
    """All orders and positions of one account, as reported."""

    orders: dict[int, Order] = field(default_factory=dict)  # by present cl_ord_id
    positions: dict[str, Position] = field(default_factory=dict)

    _done: deque[int] = field(default_factory=deque)

    @property
    def open_orders(self) -> list[Order]:
        """Those that were accepted and are not done."""
        return [o for o in self.orders.values() if o.status is not None and not o.done]

    def apply(self, report: ExecutionReport) -> Order:
        """Apply one report; the caller sees to order and to each being applied once."""
        order = self._order(report)
        order.apply(report)
        if order.done:
            self._done.append(order.cl_ord_id)
            if len(self._done) > DONE_KEPT:
                self.orders.pop(self._done.popleft(), None)
        if report.exec_type is ExecType.TRADE:
            position = self.positions.setdefault(report.symbol, Position(report.symbol))
            position.trade(Side(report.side), report.last_qty, report.last_px)
        return order

    def _order(self, report: ExecutionReport) -> Order:
        if report.exec_type is ExecType.REPLACED:
            order = self.orders.pop(report.orig_cl_ord_id, None) or Order.told(report)
            order.cl_ord_id = report.cl_ord_id
            self.orders[report.cl_ord_id] = order
            return order
        key = report.cl_ord_id
        if report.exec_type is ExecType.CANCELED and report.orig_cl_ord_id:
            key = report.orig_cl_ord_id
        if key not in self.orders:
            self.orders[key] = Order.told(report)
        return self.orders[key]
