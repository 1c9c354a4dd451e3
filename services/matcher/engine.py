"""The matching engine: commands in, what every participant is told out. Deterministic.

Invariants: an (account, cl_ord_id) executes at most once; a repeat gets the first report again,
byte for byte; what happens depends on nothing but the commands, their order and their times.
Replicas (market data, archive, a shadow release) run this same code on the same commands.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any, Final

from rtes.common.records import NOTICE_LOGON, NOTICE_PARTY, Command, encode
from rtes.common.refdata import Instrument
from rtes.common.refusals import Code
from rtes.services.matcher.book import Book
from rtes.services.matcher.matching import MARKET_TO_LIMIT, STOP, STOP_LIMIT, Matching
from rtes.services.matcher.orders import RESTING, WAITING, Order, Participant
from rtes.services.matcher.reporter import EXPIRED, NEW, TRIGGERED, Reporter

DAY_NS: Final = 86_400 * 1_000_000_000
DAY, GTC, GTD = "0", "1", "6"
HALT_TRADING, REINSTATE = 1, 2
CANCEL_ON_DISCONNECT: Final = 12
MASS_CANCEL: Final = 99
Verdict = tuple[int, int, int, int] | None


class Engine:
    """All books and participants of one matcher shard."""

    def __init__(
        self,
        shard: int,
        instruments: Sequence[Instrument],
        day_end_ns: int = 0,
        accounts: Mapping[str, int] | None = None,
    ) -> None:
        """day_end_ns: when DAY orders expire, after 00:00 UTC; accounts: name -> id."""
        self.books = {i.symbol: Book(i) for i in instruments}
        self.participants: dict[int, Participant] = {}
        self._account_ids = dict(accounts or {})
        self._order_id_base = shard << 48
        self._day_end_ns = day_end_ns
        self._day_expiry_ns = 0  # of the DAY orders; 0: there are none
        self._gtd: list[tuple[int, int]] = []  # heap of (expire_ns, order_id)
        self._notices: list[tuple[Any, ...]] = []
        self._reporter = Reporter(shard)
        self._matching = Matching(self._reporter)
        self._handlers: dict[str, Callable[[Participant, Command, int], None]] = {
            "D": self._new_order,
            "F": self._cancel,
            "G": self._replace,
            "q": self._mass_cancel,
            "H": self._status,
            "AF": self._mass_status,
            "DH": self._party_action,
            "A": self._logon,
            "XD": self._disconnect,
        }

    # ------------------------------------------------------------ one command

    def apply(self, command: Command, verdict: Verdict, seq: int, time_ns: int) -> None:
        """Execute one command; verdict is risk's refusal (index, code, limit, value) or None."""
        self._reporter.time_ns = time_ns
        if command[0] == "XE":
            self._expire(command[2])
            return
        p = self.participants.get(command[1])
        if p is None:
            p = self.participants[command[1]] = Participant(command[1])
        cl_ord_id = command[3]
        if cl_ord_id == 0:  # the gateway's own: not numbered by the participant
            self._handlers[command[0]](p, command, seq)
            return
        self._reporter.touch(p)
        p.answered += 1
        if cl_ord_id <= p.mark:
            self._repeat(p, command)
            return
        p.mark = cl_ord_id
        first = len(p.reports)
        refused = self._stopped(p, command) if verdict is None else verdict[1:]
        if refused is None:
            self._handlers[command[0]](p, command, seq)
        else:
            self._refuse(p, command, refused)
        p.outcomes.append((cl_ord_id, command[3:], p.reports[first]))

    def _stopped(self, p: Participant, command: Command) -> tuple[int, int, int] | None:
        """The kill switch, for what risk approved just before it was set."""
        if command[0] not in ("D", "G"):
            return None
        if p.suspended:
            return p.suspended, 0, 0
        if self.books[command[4]].halted:
            return Code.INSTRUMENT_HALTED.value, 0, 0
        return None

    def _repeat(self, p: Participant, command: Command) -> None:
        """A cl_ord_id that was seen: the first report again, or why it cannot be executed."""
        cl_ord_id = command[3]
        for known, body, report in reversed(p.outcomes):
            if known == cl_ord_id:
                if body == command[3:]:
                    p.reports.append(report)
                else:
                    self._refuse(p, command, (Code.ID_REUSED.value, cl_ord_id, cl_ord_id))
                return
            if known < cl_ord_id:
                self._refuse(p, command, (Code.OUT_OF_ORDER.value, p.mark, cl_ord_id))
                return
        self._refuse(p, command, (Code.ID_TOO_OLD.value, p.mark, cl_ord_id))

    def _refuse(self, p: Participant, command: Command, refused: tuple[int, int, int]) -> None:
        kind = command[0]
        if kind == "D":
            self._reporter.refused_order(p, command, refused)
        elif kind in ("F", "G", "H"):
            order = p.orders.get(command[5])
            self._reporter.cancel_reject(p, command, order, refused)
        elif kind == "DH":
            self._party_report(p, command, 0, refused[0])
        else:
            stand_in = (kind, p.account, 0, command[3], "", 0)
            self._reporter.cancel_reject(p, stand_in, None, refused)

    # ------------------------------------------------------------ orders

    def _new_order(self, p: Participant, command: Command, seq: int) -> None:
        book = self.books[command[4]]
        if command[11] == "6" and self._post_only_refused(book, p, command):
            return
        order = Order(p, self._order_id_base | seq, command)
        p.orders[order.cl_ord_id] = order
        self._matching.orders[order.order_id] = order
        self._set_expiry(order)
        self._reporter.order(order, NEW, NEW, order.leaves)
        if order.ord_type in (STOP, STOP_LIMIT) and not book.triggered(order):
            book.wait(order)
            return
        last_px = book.last_px
        if order.ord_type in (STOP, STOP_LIMIT):
            self._trigger(order)
        self._matching.execute(book, order)
        if book.last_px != last_px:
            self._run_stops(book)

    def _post_only_refused(self, book: Book, p: Participant, command: Command) -> bool:
        best = (book.asks if command[5] == "1" else book.bids).best()
        if best is None:
            return False
        price = command[8]
        if price < best.price if command[5] == "1" else price > best.price:
            return False
        refused = (Code.POST_ONLY_WOULD_TRADE.value, best.price, price)
        self._reporter.refused_order(p, command, refused)
        return True

    def _trigger(self, order: Order) -> None:
        self._reporter.order(order, TRIGGERED, NEW, order.leaves)

    def _run_stops(self, book: Book) -> None:
        """Stops that the last trade triggers, one after the other, until none is left."""
        while (order := book.next_triggered()) is not None:
            self._trigger(order)
            self._matching.execute(book, order)

    def _set_expiry(self, order: Order) -> None:
        if order.time_in_force == GTD:
            heappush(self._gtd, (order.expire_ns, order.order_id))
        elif order.time_in_force == DAY:
            now = self._reporter.time_ns
            days = (now - self._day_end_ns) // DAY_NS + 1
            order.expire_ns = days * DAY_NS + self._day_end_ns
            if self._day_expiry_ns == 0:
                self._day_expiry_ns = order.expire_ns

    def _cancel(self, p: Participant, command: Command, _seq: int) -> None:
        order = p.orders.get(command[5])
        if order is None or order.symbol != command[4]:
            self._reporter.cancel_reject(p, command, None, self._unknown(p, command))
            return
        self._close(order, request_id=command[3])

    @staticmethod
    def _unknown(p: Participant, command: Command) -> tuple[int, int, int]:
        """Too late for an id that was used, unknown for one that never was."""
        orig = command[5]
        return (Code.TOO_LATE if orig < command[3] else Code.UNKNOWN_ORDER).value, p.mark, orig

    def _close(
        self, order: Order, exec_type: str = "4", request_id: int = 0, restatement: int = 0
    ) -> None:
        """End an open order wherever it stands."""
        if order.state == RESTING:
            self.books[order.symbol].side_of(order).remove(order)
        self._matching.close(order, exec_type, request_id, restatement)

    def _replace(self, p: Participant, command: Command, _seq: int) -> None:
        cl_ord_id, symbol, orig, order_qty, price, stop_px = command[3:9]
        order = p.orders.get(orig)
        if order is None or order.symbol != symbol:
            self._reporter.cancel_reject(p, command, None, self._unknown(p, command))
            return
        refused = self._replace_refused(order, order_qty, price, stop_px)
        if refused is not None:
            self._reporter.cancel_reject(p, command, order, refused)
            return
        del p.orders[orig]
        order.cl_ord_id = cl_ord_id
        p.orders[cl_ord_id] = order
        book = self.books[symbol]
        if order.state == WAITING:
            order.order_qty, order.leaves = order_qty, order_qty - order.cum
            order.price, order.stop_px = price, stop_px
            self._reporter.replaced(order, orig)
            book.wait(order)
            self._run_stops(book)
            return
        side = book.side_of(order)
        if price == order.price and order_qty <= order.order_qty:
            self._matching.reduce(order, side, order_qty)
            self._reporter.replaced(order, orig)
            return
        side.remove(order)
        order.order_qty, order.leaves, order.price = order_qty, order_qty - order.cum, price
        self._reporter.replaced(order, orig)
        last_px = book.last_px
        self._matching.execute(book, order)
        if book.last_px != last_px:
            self._run_stops(book)

    def _replace_refused(
        self, order: Order, order_qty: int, price: int, stop_px: int
    ) -> tuple[int, int, int] | None:
        if order_qty <= order.cum:
            return Code.QTY_BELOW_FILLED.value, order.cum, order_qty
        waiting = order.state == WAITING
        if waiting != (stop_px > 0):
            return Code.SIDE_OR_TYPE_CHANGED.value, 0, 99
        if (price > 0) != (order.ord_type not in (STOP, MARKET_TO_LIMIT)):
            return Code.SIDE_OR_TYPE_CHANGED.value, 0, 44
        if order.display_qty > order_qty:
            return Code.SIDE_OR_TYPE_CHANGED.value, 0, 1138
        book = self.books[order.symbol]
        if order.exec_inst == "6" and price != order.price and book.crosses(order, price):
            best = book.opposite(order).best()
            return Code.POST_ONLY_WOULD_TRADE.value, best.price if best else 0, price
        return None

    def _mass_cancel(self, p: Participant, command: Command, _seq: int) -> None:
        kind, symbol, side = command[4:7]
        closed = 0
        for order in list(p.orders.values()):
            if (symbol in ("", order.symbol)) and side in ("", order.side):
                self._close(order, restatement=MASS_CANCEL)
                closed += 1
        self._reporter.other(p, "r", command[3], kind, closed)

    def _status(self, p: Participant, command: Command, _seq: int) -> None:
        order = p.orders.get(command[5])
        if order is None or order.symbol != command[4]:
            self._reporter.unknown_status(p, command)
        else:
            self._reporter.status(order)

    def _mass_status(self, p: Participant, command: Command, _seq: int) -> None:
        orders = [o for o in p.orders.values() if command[4] in ("", o.symbol)]
        for order in orders:
            self._reporter.status(order)
        self._reporter.other(p, "UM", command[3], len(orders))

    # ------------------------------------------------------------ sessions, operators, time

    def _logon(self, p: Participant, command: Command, _seq: int) -> None:
        p.gateway, p.session, p.cancel_on_disconnect, heart_bt_int = command[4:8]
        if p.suspended == Code.SESSION_SUSPENDED:
            p.suspended = 0  # only that session was meant
        self._reporter.logon(p, heart_bt_int)
        self._notices.append((NOTICE_LOGON, p.account, p.gateway, p.session))

    def _disconnect(self, p: Participant, command: Command, _seq: int) -> None:
        if (p.gateway, p.session) != (command[4], command[5]):
            return  # a newer session took over
        p.gateway = -1
        if p.cancel_on_disconnect == 0:
            return
        for order in list(p.orders.values()):
            if p.cancel_on_disconnect == 2 or order.time_in_force not in (GTC, GTD):
                self._close(order, restatement=CANCEL_ON_DISCONNECT)

    def _party_action(self, p: Participant, command: Command, _seq: int) -> None:
        """The kill switch: risk follows the notice; halting also cancels what is open."""
        action, name, symbol, session = command[4:8]
        account = self._account_ids.get(name, 0)
        if (name and not account) or (symbol and symbol not in self.books):
            code = Code.NOT_AUTHORIZED if name else Code.UNKNOWN_SYMBOL
            self._party_report(p, command, 0, code.value)
            return
        self._set_switch(action != REINSTATE, account, symbol, session)
        closed = 0
        if action == HALT_TRADING:
            for order in list(self._matching.orders.values()):
                if (not account or order.owner.account == account) and (
                    not symbol or order.symbol == symbol
                ):
                    self._close(order, restatement=MASS_CANCEL)
                    closed += 1
        self._notices.append((NOTICE_PARTY, action, account, symbol, session))
        self._party_report(p, command, closed, 0)

    def _set_switch(self, on: bool, account: int, symbol: str, session: int) -> None:
        """An account, or else one instrument, or else all of them."""
        if account:
            p = self.participants.get(account)
            if p is None:
                p = self.participants[account] = Participant(account)
            code = Code.SESSION_SUSPENDED if session else Code.ACCOUNT_SUSPENDED
            p.suspended = code.value if on else 0
            return
        for book in self.books.values():
            if symbol in ("", book.symbol):
                book.halted = on

    def _party_report(self, p: Participant, command: Command, closed: int, code: int) -> None:
        action, name, symbol = command[4:7]
        self._reporter.other(p, "DI", command[3], action, name, symbol, closed, code)

    @property
    def next_expiry_ns(self) -> int | None:
        """When the next XE command is due, or None."""
        day, gtd = self._day_expiry_ns, self._gtd[0][0] if self._gtd else 0
        return min(day, gtd) if day and gtd else day or gtd or None

    def _expire(self, now_ns: int) -> None:
        """End all orders whose time has come."""
        orders = self._matching.orders
        while self._gtd and self._gtd[0][0] <= now_ns:
            order = orders.get(heappop(self._gtd)[1])
            if order is not None:
                self._close(order, EXPIRED)
        if 0 < self._day_expiry_ns <= now_ns:
            day_orders = [o for o in orders.values() if o.time_in_force == DAY]
            for order in day_orders:
                if order.expire_ns <= now_ns:
                    self._close(order, EXPIRED)
            left = [o.expire_ns for o in day_orders if o.expire_ns > now_ns]
            self._day_expiry_ns = min(left, default=0)

    # ------------------------------------------------------------ results

    def take(self) -> tuple[list[Any], list[Any]]:
        """What the commands since the last call told: chunks, and notices."""
        notices, self._notices = self._notices, []
        return self._reporter.take(), notices

    def order(self, order_id: int) -> Order | None:
        """An open order."""
        return self._matching.orders.get(order_id)

    def digest(self) -> bytes:
        """A hash of everything that decides what happens next."""
        books = [
            (
                symbol,
                book.last_px,
                book.halted,
                [
                    [(o.order_id, o.price, o.leaves, o.shown) for o in _queue(level.head)]
                    for side in (book.bids, book.asks)
                    for level in side.ordered()
                ],
            )
            for symbol, book in sorted(self.books.items())
        ]
        marks = [
            (a, p.mark, p.next_seq_num, p.suspended, sorted(p.orders))
            for a, p in sorted(self.participants.items())
        ]
        waiting = sorted(
            (o.order_id, o.stop_px, o.leaves)
            for o in self._matching.orders.values()
            if o.state == WAITING
        )
        counters = (self._reporter.exec_id, self._matching.match_id)
        data = encode((books, marks, waiting, counters))
        return hashlib.blake2b(data, digest_size=16).digest()


def _queue(order: Order | None) -> list[Order]:
    found = []
    while order is not None:
        found.append(order)
        order = order.next
    return found
