"""What the matching engine has to do, written from the rules and without its code.

Slow and plain on purpose: one list of open orders, sorted anew whenever somebody asks who is
first; whether a quantity can trade is found by trading it in a copy. The kill switch is not here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from rtes.common.records import whole

DAY_NS = 86_400 * 1_000_000_000
REMEMBERED = 1_024
MARKET, LIMIT, STOP, STOP_LIMIT, MARKET_TO_LIMIT = "1", "2", "3", "4", "K"
DAY, GTC, IOC, FOK, GTD = "0", "1", "3", "4", "6"
# reject codes of the catalogue
TELL = 2  # of a flag
UNKNOWN, TOO_LATE, POST_ONLY, NO_LIQUIDITY, QTY_BELOW_FILLED = 30, 31, 32, 33, 34
OUT_OF_ORDER, ID_TOO_OLD, ID_REUSED, CHANGED = 35, 36, 37, 38
# restatement reasons
ON_DISCONNECT, NEWEST, OLDEST, BOTH, MASS = 12, 17, 18, 20, 99


class Event(NamedTuple):
    """One thing a participant is told. kind is the exec_type, or the message type where that is
    not ExecutionReport; why is the reject code or else the restatement reason."""

    kind: str
    account: int
    cl_ord_id: int
    symbol: str = ""
    last_qty: int = 0  # of reports that end an answer: how many orders
    last_px: int = 0
    leaves: int = 0
    cum: int = 0
    why: int = 0


@dataclass(eq=False)
class OpenOrder:
    """An order that is resting, or waits for its stop price."""

    order_id: int
    account: int
    cl_ord_id: int
    symbol: str
    side: str
    qty: int
    kind: str
    price: int
    tif: str
    stop_px: int
    post_only: bool
    display: int
    min_qty: int
    expires: int
    smp_id: int
    smp: int
    cum: int = 0
    shown: int = 0
    ticket: int = 0  # place in the queue; 0: not in the book

    @property
    def leaves(self) -> int:
        return self.qty - self.cum

    @property
    def any_price(self) -> bool:
        return self.kind in (MARKET, STOP, MARKET_TO_LIMIT)

    def accepts(self, price: int) -> bool:
        if self.any_price:
            return True
        return price <= self.price if self.side == "1" else price >= self.price

    def stop_reached(self, last_px: int) -> bool:
        if not last_px:
            return False
        return last_px >= self.stop_px if self.side == "1" else last_px <= self.stop_px


@dataclass
class Account:
    """What is remembered of one account."""

    mark: int = 0
    answers: list[tuple[int, Any, Event]] = field(default_factory=list)
    session: tuple[int, int] = (-1, 0)
    on_disconnect: int = 0


class Oracle:
    """One matcher shard."""

    def __init__(self, symbols: Iterable[str], day_end_ns: int = 0) -> None:
        self.last_px = dict.fromkeys(symbols, 0)
        self.open: list[OpenOrder] = []
        self.accounts: dict[int, Account] = {}
        self.no_self_trades: set[str] = set()  # symbols
        self._day_end_ns = day_end_ns
        self._tickets = 0
        self._events: list[Event] = []

    # ------------------------------------------------------------ commands

    def apply(self, command: tuple[Any, ...], seq: int, time_ns: int) -> list[Event]:
        """Execute one command; what it told, in order."""
        self._events = []
        kind, account, _, cl_ord_id = command[:4]
        if kind == "XE":
            self._expire(command[2])
            return self._events
        known = self.accounts.setdefault(account, Account())
        if kind == "A":
            known.session, known.on_disconnect = (command[4], command[8]), command[6]
            return self._events
        if kind == "XD":
            self._disconnect(account, known, command[4:6])
            return self._events
        if cl_ord_id <= known.mark:
            self._again(known, command)
            return self._events
        known.mark = cl_ord_id
        self._execute(command, seq, time_ns)
        answer = self._events[-1 if kind in ("q", "AF") else 0]
        known.answers = [*known.answers, (cl_ord_id, (kind, command[3:]), answer)][-REMEMBERED:]
        return self._events

    def _again(self, known: Account, command: tuple[Any, ...]) -> None:
        """The same request: the same answer. Everything else below the mark is refused."""
        kind, cl_ord_id = command[0], command[3]
        for number, request, answer in known.answers:
            if number == cl_ord_id:
                if request == (kind, command[3:]):
                    self._events.append(answer)
                else:
                    self._refuse(command, ID_REUSED)
                return
        forgets = len(known.answers) == REMEMBERED
        too_old = forgets and cl_ord_id < known.answers[0][0]
        self._refuse(command, ID_TOO_OLD if too_old else OUT_OF_ORDER)

    def _execute(self, command: tuple[Any, ...], seq: int, time_ns: int) -> None:
        kind, account, _, cl_ord_id = command[:4]
        if kind == "D":
            self._new(command, seq, time_ns)
        elif kind == "q":
            _, symbol, side = command[4:]
            chosen = [o for o in self._of(account, symbol) if side in ("", o.side)]
            for order in chosen:
                self._end(order, "4", MASS)
            self._events.append(Event("r", account, cl_ord_id, last_qty=len(chosen)))
        elif kind == "AF":
            chosen = self._of(account, command[4])
            for order in chosen:
                self._tell("I", order)
            self._events.append(Event("UM", account, cl_ord_id, last_qty=len(chosen)))
        elif kind == "UF":
            _, action, symbol = command[4:]
            meant = {s for s in self.last_px if symbol in ("", s)}
            if action != TELL:
                self.no_self_trades = (self.no_self_trades - meant) | (meant if action else set())
            count = len(self.no_self_trades)
            self._events.append(Event("UR", account, cl_ord_id, last_qty=count))
        else:
            self._about_one(command)

    def _about_one(self, command: tuple[Any, ...]) -> None:
        """Cancel, replace and status: of the account's own open orders only."""
        kind, account, _, cl_ord_id, symbol, orig = command[:6]
        mine = self._of(account, "")
        order = next((o for o in mine if (o.cl_ord_id, o.symbol) == (orig, symbol)), None)
        if order is None and kind == "H":
            self._events.append(Event("I", account, orig, symbol, why=UNKNOWN))
        elif order is None:
            used = orig < cl_ord_id and all(o.cl_ord_id != orig for o in mine)
            self._refuse(command, TOO_LATE if used else UNKNOWN)
        elif kind == "H":
            self._tell("I", order)
        elif kind == "F":
            order.cl_ord_id = cl_ord_id
            self._end(order, "4")
        else:
            self._replace(order, command)

    def _of(self, account: int, symbol: str) -> list[OpenOrder]:
        mine = [o for o in self.open if o.account == account and symbol in ("", o.symbol)]
        return sorted(mine, key=lambda o: o.cl_ord_id)

    def _disconnect(self, account: int, known: Account, session: Any) -> None:
        if known.session != session:
            return
        known.session = (-1, session[1])
        for order in self._of(account, ""):
            stays = order.tif in (GTC, GTD)
            if known.on_disconnect == 2 or (known.on_disconnect == 1 and not stays):
                self._end(order, "4", ON_DISCONNECT)

    def _expire(self, now_ns: int) -> None:
        """GTD orders by their time, then DAY orders as they came."""
        due = [o for o in self.open if o.tif in (DAY, GTD) and o.expires <= now_ns]
        due.sort(key=lambda o: (o.tif == DAY, 0 if o.tif == DAY else o.expires, o.order_id))
        for order in due:
            self._end(order, "C")

    # ------------------------------------------------------------ orders

    def _new(self, command: tuple[Any, ...], seq: int, time_ns: int) -> None:
        (
            _, account, _, cl_ord_id, symbol, side, qty, kind, price, tif, stop_px, exec_inst,
            display, min_qty, expires, smp_id, smp,
        ) = whole(command)  # fmt: skip
        if tif == DAY:
            expires = self._day_end_ns
            while expires <= time_ns:
                expires += DAY_NS * max(1, (time_ns - expires) // DAY_NS)
        if symbol in self.no_self_trades and not smp_id:
            smp_id = -account
        order = OpenOrder(
            seq, account, cl_ord_id, symbol, side, qty, kind, price, tif, stop_px,
            exec_inst == "6", display, min_qty, expires, smp_id, smp,
        )  # fmt: skip
        if order.post_only and self._would_trade(order):
            self._refuse(command, POST_ONLY)
            return
        self.open.append(order)
        self._tell("0", order)
        if kind not in (STOP, STOP_LIMIT):
            self._enter(order)
        self._run_stops(symbol)

    def _replace(self, order: OpenOrder, command: tuple[Any, ...]) -> None:
        _, _, _, cl_ord_id, _, _, qty, price, stop_px = command
        waiting = order.ticket == 0
        if qty <= order.cum:
            self._refuse(command, QTY_BELOW_FILLED)
            return
        if (
            waiting != (stop_px > 0)
            or (price > 0) == order.any_price
            or qty < max(order.display, order.min_qty)
        ):
            self._refuse(command, CHANGED)
            return
        if order.post_only and self._would_trade(replace(order, price=price)):
            self._refuse(command, POST_ONLY)
            return
        stands = price == order.price and qty <= order.qty
        order.cl_ord_id, order.qty, order.price, order.stop_px = cl_ord_id, qty, price, stop_px
        self._tell("5", order)
        if not waiting and stands:
            order.shown = min(order.shown, order.leaves)
        elif not waiting:
            self._enter(order)
        self._run_stops(order.symbol)

    def queue(self, symbol: str, side: str) -> list[OpenOrder]:
        """Who trades first: the best price, then the lowest ticket."""
        found = [o for o in self.open if (o.symbol, o.side) == (symbol, side) and o.ticket]
        return sorted(found, key=lambda o: (-o.price if side == "1" else o.price, o.ticket))

    def _against(self, order: OpenOrder) -> list[OpenOrder]:
        queue = self.queue(order.symbol, "2" if order.side == "1" else "1")
        return [o for o in queue if order.accepts(o.price)]

    def _would_trade(self, order: OpenOrder) -> bool:
        return bool(self._against(order))

    def _enter(self, order: OpenOrder) -> None:
        """Trade what can be traded; the rest is put into the book or canceled."""
        order.ticket = 0
        needed = order.leaves if order.tif == FOK else order.min_qty
        if needed > self._tradable(order):
            self._end(order, "4", NO_LIQUIDITY)
            return
        order.min_qty = 0
        self._trade_all(order)
        if order not in self.open:
            return
        if order.kind == MARKET_TO_LIMIT and order.cum and order.tif not in (IOC, FOK):
            order.kind, order.price = LIMIT, self.last_px[order.symbol]
            self._tell("D", order)
        if order.any_price:
            self._end(order, "4", NO_LIQUIDITY)
        elif order.tif in (IOC, FOK):
            self._end(order, "4")
        else:
            self._rest(order)

    def _rest(self, order: OpenOrder) -> None:
        """At the tail, showing a (new) slice."""
        self._tickets += 1
        order.ticket = self._tickets
        order.shown = min(order.display or order.leaves, order.leaves)

    def _tradable(self, order: OpenOrder) -> int:
        """Trade in a copy of everything and add up."""
        if order.tif != FOK and not order.min_qty:
            return 0
        copy = Oracle(self.last_px)
        copy.open = [replace(o) for o in self.open if o is not order]
        copy._tickets = self._tickets
        twin = replace(order)
        copy.open.append(twin)
        copy._trade_all(twin)
        return twin.cum - order.cum

    def _trade_all(self, order: OpenOrder) -> None:
        while order in self.open and order.leaves:
            against = self._against(order)
            if not against:
                return
            first = against[0]
            if order.smp_id and first.smp_id == order.smp_id:
                self._prevent(order, first)
            else:
                self._trade(order, first)

    def _trade(self, order: OpenOrder, resting: OpenOrder) -> None:
        qty = min(order.leaves, resting.shown)
        self.last_px[order.symbol] = resting.price
        resting.shown -= qty
        for each in (order, resting):
            each.cum += qty
            self._tell("F", each, qty, resting.price)
            if each.leaves == 0:
                self._drop(each)
        if resting.leaves and not resting.shown:
            self._rest(resting)

    def _prevent(self, order: OpenOrder, resting: OpenOrder) -> None:
        if order.smp == 4:
            qty = min(order.leaves, resting.leaves)
            for each, why in ((resting, OLDEST), (order, NEWEST)):
                each.qty -= qty
                each.shown = min(each.shown, each.leaves)
                if each.leaves:
                    self._tell("D", each, why=why)
                else:
                    self._end(each, "4", why)
            return
        why = {1: NEWEST, 2: OLDEST, 3: BOTH}[order.smp]
        if order.smp in (2, 3):
            self._end(resting, "4", why)
        if order.smp in (1, 3):
            self._end(order, "4", why)

    def _run_stops(self, symbol: str) -> None:
        """Buys before sells, the nearest price, the oldest; and again, for what that traded."""
        while True:
            due = [
                o
                for o in self.open
                if o.symbol == symbol and not o.ticket and o.stop_reached(self.last_px[symbol])
            ]
            if not due:
                return
            order = min(
                due,
                key=lambda o: (o.side, o.stop_px if o.side == "1" else -o.stop_px, o.order_id),
            )
            self._tell("L", order)
            self._enter(order)

    # ------------------------------------------------------------ telling

    def _drop(self, order: OpenOrder) -> None:
        self.open = [o for o in self.open if o is not order]

    def _end(self, order: OpenOrder, kind: str, why: int = 0) -> None:
        self._drop(order)
        order.qty = order.cum
        self._tell(kind, order, why=why)

    def _tell(
        self, kind: str, order: OpenOrder, last_qty: int = 0, last_px: int = 0, why: int = 0
    ) -> None:
        named = (kind, order.account, order.cl_ord_id, order.symbol)
        self._events.append(Event(*named, last_qty, last_px, order.leaves, order.cum, why))

    def _refuse(self, command: tuple[Any, ...], why: int) -> None:
        kind, account, _, cl_ord_id = command[:4]
        if kind == "D":
            self._events.append(Event("8", account, cl_ord_id, command[4], why=why))
        else:
            self._events.append(Event("9", account, cl_ord_id, why=why))
