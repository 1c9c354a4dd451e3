"""Orders, price levels and participants: the matcher's state, without behaviour of its own.

Invariants: leaves = order_qty - cum while an order is open; shown <= leaves; an order is in
exactly one level (resting), in a stop queue (waiting), or closed.
"""

from collections.abc import Mapping
from typing import Any, Final

from rtes.common.native import mypyc_attr
from rtes.common.records import (
    C_CL_ORD_ID,
    D_DEFAULTS,
    D_ORD_TYPE,
    D_ORDER_QTY,
    D_PLAIN,
    D_PRICE,
    D_SIDE,
    D_SYMBOL,
    Command,
)
from rtes.services.matcher.outcomes import Outcomes

BUY: Final = "1"  # side
WAITING: Final = 0  # a stop that has not triggered
ACTIVE: Final = 1  # being matched
RESTING: Final = 2
CLOSED: Final = 3


class Participant:
    """What the matcher knows of one account."""

    __slots__ = (
        "account",
        "answered",
        "cancel_on_disconnect",
        "first_seq_num",
        "gateway",
        "mark",
        "moves",
        "next_seq_num",
        "orders",
        "outcomes",
        "reports",
        "session_suspended",
        "suspended",
        "touched",
        "turn",
    )

    def __init__(self, account: int) -> None:
        self.account = account
        self.mark = 0  # highest cl_ord_id seen
        self.orders: dict[int, Order] = {}  # open, by present cl_ord_id
        self.outcomes = Outcomes(account)
        self.next_seq_num = 1
        self.first_seq_num = 1  # of this block
        self.reports: list[tuple[Any, ...]] = []  # of this block
        self.moves: list[Any] = []  # of this block, for risk
        self.touched = False  # by this block
        self.answered = 0
        self.gateway = -1  # where it is logged on; -1: nowhere
        self.turn = 0  # of the newest session, see records
        self.cancel_on_disconnect = 0
        self.suspended: list[str] = []  # symbols it may not trade; "" is all
        self.session_suspended = False  # until its next logon


@mypyc_attr(acyclic=True)  # its links are cleared when it is closed
class Order:
    """One order. Quantities in lots, prices in ticks."""

    __slots__ = (
        "cl_ord_id",
        "cum",
        "display_qty",
        "exec_inst",
        "expire_ns",
        "leaves",
        "level",
        "min_qty",
        "next",
        "ord_type",
        "order_id",
        "order_qty",
        "owner",
        "prev",
        "price",
        "shown",
        "side",
        "smp_id",
        "smp_instruction",
        "state",
        "stop_px",
        "symbol",
        "time_in_force",
    )

    # ints that are mostly passed on, into reports: as objects they are not made anew each time
    cl_ord_id: Any  # the very object that is the key in its owner's orders
    order_id: Any
    symbol: str
    side: str
    order_qty: Any
    ord_type: str
    price: Any
    time_in_force: str
    stop_px: int
    exec_inst: str
    display_qty: int
    min_qty: int
    expire_ns: int
    smp_id: int
    smp_instruction: int

    def __init__(self, owner: Participant, order_id: int, command: Command) -> None:
        """command is a NewOrderSingle."""
        self.cl_ord_id = command[C_CL_ORD_ID]
        self.symbol = command[D_SYMBOL]
        self.side = command[D_SIDE]
        self.order_qty = command[D_ORDER_QTY]
        self.ord_type = command[D_ORD_TYPE]
        self.price = command[D_PRICE]
        (
            self.time_in_force,
            self.stop_px,
            self.exec_inst,
            self.display_qty,
            self.min_qty,
            self.expire_ns,
            self.smp_id,
            self.smp_instruction,
        ) = command[D_PLAIN:] if len(command) > D_PLAIN else D_DEFAULTS
        self.owner = owner
        self.order_id = order_id
        self.leaves: int = self.order_qty
        self.cum = 0
        self.shown = 0
        self.state = ACTIVE
        self.level: Level | None = None
        self.prev: Order | None = None
        self.next: Order | None = None


@mypyc_attr(acyclic=True)
class Level:
    """The queue at one price, first in first out."""

    __slots__ = ("count", "head", "leaves", "price", "shown", "tail")

    def __init__(self, price: int) -> None:
        self.price = price
        self.leaves = 0  # of all its orders
        self.shown = 0  # of that, on display
        self.count = 0
        self.head: Order | None = None
        self.tail: Order | None = None

    def append(self, order: Order) -> None:
        """Put order at the tail with its shown quantity."""
        order.level = self
        order.prev = self.tail
        if self.tail is None:
            self.head = order
        else:
            self.tail.next = order
        self.tail = order
        self.count += 1
        self.leaves += order.leaves
        self.shown += order.shown

    def unlink(self, order: Order) -> None:
        """Take order out; its links are cleared so that no cycle keeps it alive."""
        before, after = order.prev, order.next
        if before is None:
            self.head = after
        else:
            before.next = after
        if after is None:
            self.tail = before
        else:
            after.prev = before
        order.prev = order.next = None
        order.level = None
        self.count -= 1
        self.leaves -= order.leaves
        self.shown -= order.shown

    def queue(self) -> list[Order]:
        """All orders, first in line first."""
        found = []
        order = self.head
        while order is not None:
            found.append(order)
            order = order.next
        return found


def open_orders(participants: Mapping[int, Participant]) -> list[Order]:
    """All, as they came: an order keeps its order_id for life, and ids ascend."""
    orders = [order for p in participants.values() for order in p.orders.values()]
    return sorted(orders, key=lambda order: int(order.order_id))
