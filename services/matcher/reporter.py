"""What participants are told: numbered report tuples in the wire's field order.

Invariants: numbers of an account have no gap; exec_id is never reused; one report per event, and
one move of what risk follows; a terminal report has leaves_qty 0. Trailing fields at their default
are left out.
"""

from typing import Any, Final

from rtes.common import moves
from rtes.common.messages import PROTOCOL_VERSION
from rtes.common.native import as_object
from rtes.common.records import Chunk, Report, encode
from rtes.common.refusals import CATALOGUE, Code
from rtes.services.matcher.orders import BUY, Order, Participant

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
ADDED: Final = as_object(1)
REMOVED: Final = as_object(2)
_ZERO: Final = as_object(0)
_OPENED: Final = as_object(moves.OPENED)
_CLOSED: Final = as_object(moves.CLOSED)
_TRADED: Final = as_object(moves.TRADED)

Event = tuple[Report, Order]  # what was told of an order, and the order as it is now
Refused = tuple[int, int, int]  # reject_code, limit, value
NOT_REFUSED: Final[Refused] = (0, 0, 0)
UNKNOWN_ORDER: Final = int(Code.UNKNOWN_ORDER)

_ORD_REJ_REASONS: Final = {int(code): r.ord_rej_reason for code, r in CATALOGUE.items()}
# FIX 102 has numbers of its own; what is not here is 99, other
_CXL_REJ_REASONS: Final[dict[int, int]] = {
    int(Code.TOO_LATE): 0,
    int(Code.UNKNOWN_ORDER): 1,
    int(Code.ID_REUSED): 6,
    int(Code.OUT_OF_ORDER): 6,
    int(Code.ID_TOO_OLD): 6,
    int(Code.PRICE_BAND): 8,
    int(Code.PRICE_INCREMENT): 18,
}


class Reporter:
    """Collects the reports of a block by participant."""

    __slots__ = ("_touched", "events", "exec_id", "shard", "time_ns")

    def __init__(self, shard: int) -> None:
        self.shard: Any = shard  # only passed on
        self.time_ns: Any = 0  # only passed on
        self.events: list[Event] | None = None  # for a replica: what happened to orders
        self.exec_id = 0
        self._touched: list[Participant] = []

    def touch(self, p: Participant) -> None:
        """The block has something to tell p."""
        if not p.touched:
            p.touched = True
            self._touched.append(p)

    def _number(self, p: Participant) -> int:
        if not p.touched:
            self.touch(p)
        number = p.next_seq_num
        p.next_seq_num = number + 1
        return number

    def order(self, order: Order, exec_type: str) -> None:
        """New or Triggered, of an order that has not traded."""
        p = order.owner
        if not p.touched:
            self.touch(p)
        number = p.next_seq_num
        p.next_seq_num = number + 1
        self.exec_id = exec_id = self.exec_id + 1
        report: Report = (
            "8", self.shard, number, exec_type, NEW, order.cl_ord_id, order.order_id,
            exec_id, order.symbol, order.side, order.order_qty, _ZERO, self.time_ns,
            order.order_qty, order.price,
        )  # fmt: skip
        p.reports.append(report)
        if exec_type == NEW:
            signed: Any = order.order_qty if order.side == BUY else -order.order_qty
            told = p.moves
            told += (_OPENED, order.cl_ord_id, order.symbol, signed, order.price)
        if self.events is not None:
            self.events.append((report, order))

    def trade(self, order: Order, qty: Any, price: Any, match_id: Any, liquidity: Any) -> None:
        """One side of a trade; the order's cum and leaves already include it. qty, price,
        match_id and liquidity: ints that are only passed on."""
        p = order.owner
        if not p.touched:
            self.touch(p)
        number = p.next_seq_num
        p.next_seq_num = number + 1
        self.exec_id = exec_id = self.exec_id + 1
        leaves: Any = order.leaves
        report: Report = (
            "8", self.shard, number, TRADE, PARTIALLY_FILLED if order.leaves else FILLED,
            order.cl_ord_id, order.order_id, exec_id, order.symbol, order.side,
            leaves, order.cum, self.time_ns, order.order_qty, order.price, qty, price,
            match_id, liquidity,
        )  # fmt: skip
        p.reports.append(report)
        told = p.moves
        told += (_TRADED, order.cl_ord_id, order.symbol, leaves, qty, price, match_id)
        if self.events is not None:
            self.events.append((report, order))

    def closed(self, order: Order, exec_type: str, restatement: int, refused: Refused) -> None:
        """Canceled or Expired without a request of the owner's."""
        code = refused[0]
        tail: tuple[int, ...] = ()
        if code:
            tail = (0, 0, 0, 0, 0, restatement, _ORD_REJ_REASONS[code], *refused)
        elif restatement:
            tail = (0, 0, 0, 0, 0, restatement)
        move = moves.CLOSED, order.cl_ord_id, order.cl_ord_id
        self._changed(order, exec_type, exec_type, tail, move)

    def canceled(self, order: Order, request_id: Any) -> None:
        """Canceled at the owner's request, whose cl_ord_id is only passed on."""
        p = order.owner
        if not p.touched:
            self.touch(p)
        number = p.next_seq_num
        p.next_seq_num = number + 1
        self.exec_id = exec_id = self.exec_id + 1
        report: Report = (
            "8", self.shard, number, CANCELED, CANCELED, request_id, order.order_id,
            exec_id, order.symbol, order.side, _ZERO, order.cum, self.time_ns,
            order.order_qty, order.price, _ZERO, _ZERO, _ZERO, _ZERO, order.cl_ord_id,
        )  # fmt: skip
        p.reports.append(report)
        told = p.moves
        told += (_CLOSED, request_id, order.cl_ord_id)
        if self.events is not None:
            self.events.append((report, order))

    def replaced(self, order: Order, orig_cl_ord_id: int) -> None:
        status = PARTIALLY_FILLED if order.cum else NEW
        holds = order.leaves, order.cum, order.price
        move = (moves.REPLACED, order.cl_ord_id, orig_cl_ord_id, *holds)
        self._changed(order, REPLACED, status, (0, 0, 0, 0, orig_cl_ord_id), move)

    def restated(self, order: Order, restatement: int) -> None:
        """The exchange changed the order's quantity or type; restatement says why, 0: type."""
        status = PARTIALLY_FILLED if order.cum else NEW
        tail = (0, 0, 0, 0, 0, restatement) if restatement else ()
        move = moves.CHANGED, order.cl_ord_id, order.leaves, order.cum, order.price
        self._changed(order, RESTATED, status, tail, move)

    def _changed(
        self, order: Order, exec_type: str, status: str, tail: tuple[int, ...],
        move: tuple[int, ...],
    ) -> None:  # fmt: skip
        p = order.owner
        if not p.touched:
            self.touch(p)
        number = p.next_seq_num
        p.next_seq_num = number + 1
        self.exec_id = exec_id = self.exec_id + 1
        report: Report = (
            "8", self.shard, number, exec_type, status, order.cl_ord_id, order.order_id,
            exec_id, order.symbol, order.side, order.leaves, order.cum, self.time_ns,
            order.order_qty, order.price, *tail,
        )  # fmt: skip
        p.reports.append(report)
        told = p.moves
        told += move
        if self.events is not None:
            self.events.append((report, order))

    def refused_order(self, p: Participant, command: tuple[Any, ...], refused: Refused) -> None:
        """A NewOrderSingle that never became an order."""
        number = self._number(p)
        self.exec_id += 1
        p.reports.append(
            (
                "8", self.shard, number, REJECTED, REJECTED, command[3], 0, self.exec_id,
                command[4], command[5], 0, 0, self.time_ns, command[6], command[8], 0, 0, 0, 0,
                0, 0, _ORD_REJ_REASONS.get(refused[0], 99), *refused,
            )
        )  # fmt: skip
        _answered(p, command[3])

    def cancel_reject(
        self, p: Participant, command: tuple[Any, ...], order: Order | None, refused: Refused
    ) -> None:
        """OrderCancelReject; of an order that is still as it was, when there is one."""
        number = self._number(p)
        kind, cl_ord_id = command[0], command[3]
        orig = command[5] if kind in ("F", "G", "H") else 0
        status, order_id = REJECTED, 0
        if order is not None:
            status, order_id = (PARTIALLY_FILLED if order.cum else NEW), order.order_id
        p.reports.append(
            (
                "9", self.shard, number, cl_ord_id, orig, order_id, status,
                "2" if kind == "G" else "1", _CXL_REJ_REASONS.get(refused[0], 99), *refused,
                self.time_ns,
            )
        )  # fmt: skip
        _answered(p, cl_ord_id)

    def unknown_status(self, p: Participant, command: tuple[Any, ...]) -> None:
        """OrderStatusRequest for an order that is not open."""
        number = self._number(p)
        self.exec_id += 1
        p.reports.append(
            (
                "8", self.shard, number, ORDER_STATUS, REJECTED, command[5], 0, self.exec_id,
                command[4], "", 0, 0, self.time_ns, 0, 0, 0, 0, 0, 0, 0, 0,
                _ORD_REJ_REASONS[UNKNOWN_ORDER], UNKNOWN_ORDER, p.mark, command[5],
            )
        )  # fmt: skip

    def status(self, order: Order) -> None:
        p = order.owner
        number = self._number(p)
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

    def other(self, p: Participant, message_type: str, cl_ord_id: int, *fields: object) -> None:
        """Any other numbered report: type, shard, number, then fields, then the time."""
        number = self._number(p)
        p.reports.append((message_type, self.shard, number, cl_ord_id, *fields, self.time_ns))
        _answered(p, cl_ord_id)

    def again(self, p: Participant, cl_ord_id: int, report: Report) -> None:
        """The answer to a request that was seen before, as it was."""
        p.reports.append(report)
        _answered(p, cl_ord_id)

    def logon(self, p: Participant, heart_bt_int: int, shards: int) -> None:
        """LogonReply: not numbered, it tells the number of the last report."""
        self.touch(p)
        p.reports.append(
            ("A", self.shard, p.next_seq_num - 1, p.mark, heart_bt_int, PROTOCOL_VERSION,
             self.time_ns, shards)
        )  # fmt: skip

    def take(self) -> list[Chunk]:
        """The block's chunks, participants in order of first touch; starts the next block."""
        chunks = []
        for p in self._touched:
            first, data = p.first_seq_num, encode(p.reports)
            chunks.append(
                (p.account, first, p.next_seq_num - first, p.answered, data, encode(p.moves))
            )
            p.outcomes.seal(p.reports, data)
            p.first_seq_num = p.next_seq_num
            p.reports = []
            p.moves = []
            p.answered = 0
            p.touched = False
        self._touched = []
        return chunks


def _answered(p: Participant, cl_ord_id: int) -> None:
    """Nothing of that id is in flight."""
    told = p.moves
    told += (moves.ANSWERED, cl_ord_id)
