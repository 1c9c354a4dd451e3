"""What participants are told: numbered report tuples in the wire's field order.

Invariants: numbers of an account have no gap; exec_id is never reused; one report per event; a
terminal report has leaves_qty 0. Trailing fields at their default are left out.
"""

from typing import Any, Final

from rtes.common.messages import PROTOCOL_VERSION
from rtes.common.records import encode
from rtes.common.refusals import CATALOGUE, Code
from rtes.services.matcher.orders import Order, Participant

NEW: Final = "0"
PARTIALLY_FILLED: Final = "1"
FILLED: Final = "2"
CANCELED: Final = "4"
REPLACED: Final = "5"
REJECTED: Final = "8"
EXPIRED: Final = "C"
RESTATED: Final = "D"
TRADE: Final = "F"
ORDER_STATUS: Final = "I"
TRIGGERED: Final = "L"

Refused = tuple[int, int, int]  # reject_code, limit, value


class Reporter:
    """Collects the reports of a block by participant."""

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.time_ns = 0
        self.exec_id = 0
        self._touched: list[Participant] = []

    def touch(self, p: Participant) -> None:
        if not p.reports and not p.answered:
            self._touched.append(p)

    def number(self, p: Participant) -> int:
        self.touch(p)
        number = p.next_seq_num
        p.next_seq_num = number + 1
        return number

    def order(self, order: Order, exec_type: str, status: str, leaves: int) -> None:
        """New, Restated, Triggered, and what else needs no more than the order's state."""
        p = order.owner
        number = self.number(p)
        self.exec_id += 1
        p.reports.append(
            (
                "8", self.shard, number, exec_type, status, order.cl_ord_id, order.order_id,
                self.exec_id, order.symbol, order.side, leaves, order.cum, self.time_ns,
                order.order_qty, order.price,
            )
        )  # fmt: skip

    def trade(self, order: Order, qty: int, price: int, match_id: int, liquidity: int) -> None:
        """One side of a trade; the order's cum and leaves already include it."""
        p = order.owner
        number = self.number(p)
        self.exec_id += 1
        status = PARTIALLY_FILLED if order.leaves else FILLED
        p.reports.append(
            (
                "8", self.shard, number, TRADE, status, order.cl_ord_id, order.order_id,
                self.exec_id, order.symbol, order.side, order.leaves, order.cum, self.time_ns,
                order.order_qty, order.price, qty, price, match_id, liquidity,
            )
        )  # fmt: skip

    def closed(
        self,
        order: Order,
        exec_type: str,
        request_id: int = 0,
        restatement: int = 0,
        refused: Refused = (0, 0, 0),
    ) -> None:
        """Canceled, Expired or Rejected; request_id is the cl_ord_id of a cancel request."""
        cl_ord_id, orig = (request_id, order.cl_ord_id) if request_id else (order.cl_ord_id, 0)
        self._execution(order, exec_type, exec_type, 0, cl_ord_id, orig, restatement, refused)

    def replaced(self, order: Order, orig_cl_ord_id: int) -> None:
        status = PARTIALLY_FILLED if order.cum else NEW
        self._execution(order, REPLACED, status, order.leaves, order.cl_ord_id, orig_cl_ord_id)

    def _execution(
        self,
        order: Order,
        exec_type: str,
        status: str,
        leaves: int,
        cl_ord_id: int,
        orig: int,
        restatement: int = 0,
        refused: Refused = (0, 0, 0),
    ) -> None:
        p = order.owner
        number = self.number(p)
        self.exec_id += 1
        reason = CATALOGUE[Code(refused[0])].ord_rej_reason if refused[0] else 0
        p.reports.append(
            (
                "8", self.shard, number, exec_type, status, cl_ord_id, order.order_id,
                self.exec_id, order.symbol, order.side, leaves, order.cum, self.time_ns,
                order.order_qty, order.price, 0, 0, 0, 0, orig, restatement, reason, *refused,
            )
        )  # fmt: skip

    def refused_order(self, p: Participant, command: tuple[Any, ...], refused: Refused) -> None:
        """A NewOrderSingle that never became an order."""
        number = self.number(p)
        self.exec_id += 1
        reason = CATALOGUE[Code(refused[0])].ord_rej_reason
        p.reports.append(
            (
                "8", self.shard, number, REJECTED, REJECTED, command[3], 0, self.exec_id,
                command[4], command[5], 0, 0, self.time_ns, command[6], command[8], 0, 0, 0, 0,
                0, 0, reason, *refused,
            )
        )  # fmt: skip

    def cancel_reject(
        self, p: Participant, command: tuple[Any, ...], order: Order | None, refused: Refused
    ) -> None:
        """OrderCancelReject; of an order that is still as it was, when there is one."""
        number = self.number(p)
        response_to = "2" if command[0] == "G" else "1"
        reason = {Code.UNKNOWN_ORDER: 1, Code.TOO_LATE: 0}.get(Code(refused[0]), 99)
        status, order_id = REJECTED, 0
        if order is not None:
            status, order_id = (PARTIALLY_FILLED if order.cum else NEW), order.order_id
        p.reports.append(
            (
                "9", self.shard, number, command[3], command[5], order_id, status, response_to,
                reason, *refused, self.time_ns,
            )
        )  # fmt: skip

    def unknown_status(self, p: Participant, command: tuple[Any, ...]) -> None:
        """OrderStatusRequest for an order that is not open."""
        number = self.number(p)
        self.exec_id += 1
        p.reports.append(
            (
                "8", self.shard, number, ORDER_STATUS, REJECTED, command[5], 0, self.exec_id,
                command[4], "", 0, 0, self.time_ns, 0, 0, 0, 0, 0, 0, 0, 0, 5,
                Code.UNKNOWN_ORDER.value, 0, command[5],
            )
        )  # fmt: skip

    def status(self, order: Order) -> None:
        p = order.owner
        number = self.number(p)
        self.exec_id += 1
        p.reports.append(
            (
                "8", self.shard, number, ORDER_STATUS, PARTIALLY_FILLED if order.cum else NEW,
                order.cl_ord_id, order.order_id, self.exec_id, order.symbol, order.side,
                order.leaves, order.cum, self.time_ns, order.order_qty, order.price,
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, order.ord_type, order.time_in_force,
                order.stop_px, order.display_qty,
            )
        )  # fmt: skip

    def other(self, p: Participant, message_type: str, *fields: object) -> None:
        """Any other numbered report: type, shard, number, then fields, then the time."""
        number = self.number(p)
        p.reports.append((message_type, self.shard, number, *fields, self.time_ns))

    def logon(self, p: Participant, heart_bt_int: int) -> None:
        """LogonReply: not numbered, it tells the number of the last report."""
        self.touch(p)
        p.reports.append(
            ("A", self.shard, p.next_seq_num - 1, p.mark, heart_bt_int, PROTOCOL_VERSION,
             self.time_ns)
        )  # fmt: skip

    def take(self) -> list[tuple[int, int, int, int, bytes]]:
        """The block's chunks, participants in order of first touch; starts the next block."""
        chunks = []
        for p in self._touched:
            count = p.next_seq_num - p.first_seq_num
            chunks.append(
                (p.account, p.first_seq_num, count, p.answered, encode(p.reports))
            )
            p.first_seq_num = p.next_seq_num
            p.reports = []
            p.answered = 0
        self._touched = []
        return chunks
