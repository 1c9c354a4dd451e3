"""When open orders end by themselves: GTD orders at their time, DAY orders at the day's end.

Invariant: an order that is gone takes up room here for no longer than it takes to outnumber the
GTD orders that were open at the last sweep, so what is kept is bounded by what is open.
"""

from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from typing import Final

from rtes.services.matcher.orders import CLOSED, Order, Participant, open_orders

DAY_NS: Final = 86_400 * 1_000_000_000
DAY: Final = "0"
GTD: Final = "6"
SLACK: Final = 1_024  # entries of gone orders that are not worth a sweep


class Expiry:
    """Times in ns UTC; day_end_ns is after 00:00."""

    __slots__ = (
        "_day_due_ns", "_day_end_ns", "_gtd", "_participants", "_sweep_at", "_today_ends_ns",
    )  # fmt: skip

    def __init__(self, participants: Mapping[int, Participant], day_end_ns: int) -> None:
        self._participants = participants  # with all orders that are open, the engine's own
        self._day_end_ns = day_end_ns
        self._today_ends_ns = 0
        self._day_due_ns = 0  # of the first DAY order; 0: there are none
        self._gtd: list[tuple[int, int, Order]] = []  # heap of (expire_ns, order_id, order)
        self._sweep_at = SLACK

    def add(self, order: Order, now_ns: int) -> None:
        if order.time_in_force == DAY:
            if now_ns >= self._today_ends_ns:
                days = (now_ns - self._day_end_ns) // DAY_NS + 1
                self._today_ends_ns = days * DAY_NS + self._day_end_ns
            order.expire_ns = self._today_ends_ns
            if self._day_due_ns == 0:
                self._day_due_ns = order.expire_ns
        elif order.time_in_force == GTD:
            if len(self._gtd) > self._sweep_at:
                self._gtd = [entry for entry in self._gtd if entry[2].state != CLOSED]
                heapify(self._gtd)
                self._sweep_at = 2 * len(self._gtd) + SLACK
            heappush(self._gtd, (order.expire_ns, order.order_id, order))

    def resume(self, order: Order) -> None:
        """Take in an order that already knows when it expires."""
        if order.time_in_force == DAY:
            due_ns = self._day_due_ns
            self._day_due_ns = min(due_ns, order.expire_ns) if due_ns else order.expire_ns
        elif order.time_in_force == GTD:
            heappush(self._gtd, (order.expire_ns, order.order_id, order))

    @property
    def next_ns(self) -> int | None:
        """When there is something to expire next, or None."""
        day, gtd = self._day_due_ns, self._gtd[0][0] if self._gtd else 0
        return min(day, gtd) if day and gtd else day or gtd or None

    def take(self, now_ns: int) -> list[Order]:
        """The open orders whose time has come: GTD by time, then DAY as they came."""
        due = []
        while self._gtd and self._gtd[0][0] <= now_ns:
            order = heappop(self._gtd)[2]
            if order.state != CLOSED:
                due.append(order)
        if 0 < self._day_due_ns <= now_ns:
            orders = open_orders(self._participants)
            day_orders = [o for o in orders if o.time_in_force == DAY]
            due += [o for o in day_orders if o.expire_ns <= now_ns]
            later = [o.expire_ns for o in day_orders if o.expire_ns > now_ns]
            self._day_due_ns = min(later, default=0)
        return due
