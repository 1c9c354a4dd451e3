"""The matching engine: commands in, what every participant is told out. Deterministic.

Invariants: an (account, cl_ord_id) executes at most once; a repeat gets the report that answered
it again, byte for byte; what happens depends on nothing but the commands, their order and times.
Replicas (market data, the snapshotter) run this same code on the same commands.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from rtes.common.enums import Restatement
from rtes.common.errors import OperatorError
from rtes.common.records import (
    CMD_GATEWAY,
    D_EXEC_INST,
    D_ORD_TYPE,
    D_PLAIN,
    NOTICE_LOGON,
    NOTICE_PARTY,
    Command,
    whole,
)
from rtes.common.refdata import Instrument
from rtes.common.refusals import Code
from rtes.services.matcher.book import Book
from rtes.services.matcher.departures import canceled_on_disconnect, predecessor_ended
from rtes.services.matcher.expiry import Expiry
from rtes.services.matcher.flags import switched
from rtes.services.matcher.killswitch import action_refused, switch
from rtes.services.matcher.matching import LIMIT, STOP, STOP_LIMIT, Matching, forget, reduce
from rtes.services.matcher.orders import BUY, RESTING, WAITING, Order, Participant, open_orders
from rtes.services.matcher.reporter import (
    CANCELED,
    EXPIRED,
    NEW,
    TRIGGERED,
    Event,
    Refused,
    Reporter,
)
from rtes.services.matcher.state import (
    EngineState,
    book_state,
    digest,
    participant_state,
    restore_book,
    restore_participant,
)
from rtes.services.matcher.stops import triggers
from rtes.services.matcher.terms import not_open, order_refused, replace_refused

ABOUT_MANY: Final = ("q", "AF", "DH")  # only the last of their reports carries the request's id
HALT_TRADING: Final = 1
CANCEL_ON_DISCONNECT: Final = int(Restatement.CANCEL_ON_DISCONNECT)
MASS_CANCEL: Final = int(Restatement.MASS_CANCEL)
Verdict = Sequence[int] | None  # (index, code, limit, value), a list when decoded
Handler = Callable[[Participant, Command, int], None]


class Engine:
    """All books and participants of one matcher shard."""

    def __init__(self, shard: int, instruments: Sequence[Instrument], day_end_ns: int = 0) -> None:
        """day_end_ns: when DAY orders expire, after 00:00 UTC."""
        self.books = {i.symbol: Book(i) for i in instruments}
        self.participants: dict[int, Participant] = {}
        self._order_id_base = shard << 48
        self._notices: list[tuple[Any, ...]] = []
        self._noticed = 0  # of these, how many changes() has told
        self._reporter = Reporter(shard)
        self._matching = Matching(self._reporter)
        self._expiry = Expiry(self.participants, day_end_ns)
        self._handlers: dict[str, Handler] = {
            "q": self._mass_cancel,
            "H": self._status,
            "AF": self._mass_status,
            "DH": self._party_action,
            "UF": self._feature_flag,
            "A": self._logon,
            "XD": self._disconnect,
        }

    # ------------------------------------------------------------ one command

    def apply(self, command: Command, verdict: Verdict, seq: int, time_ns: int) -> None:
        """Execute one command; verdict is risk's refusal (index, code, limit, value) or None."""
        self._reporter.time_ns = time_ns
        kind: str = command[0]
        if kind == "XE":
            for order in self._expiry.take(command[2]):
                self._close(order, EXPIRED)
            return
        p = self.participants.get(command[1])
        if p is None:
            if kind == CMD_GATEWAY:  # of no account
                self._notices += predecessor_ended(self.participants, command)
                return
            p = self.participants[command[1]] = Participant(command[1])
        cl_ord_id: int = command[3]
        if cl_ord_id == 0:  # the gateway's own: not numbered by the participant
            if verdict is None:
                self._handlers[kind](p, command, seq)
            return
        if verdict is not None and verdict[1] == Code.REPLACED_SESSION:
            return  # of a session that is no more: never taken, and nobody is told
        if not p.touched:
            self._reporter.touch(p)
        p.answered += 1
        if cl_ord_id <= p.mark:
            self._repeat(p, command)
            return
        p.mark = cl_ord_id
        first = len(p.reports)
        said = False  # all of the request, by the report that answers it
        if verdict is not None:
            self._refuse(p, command, (verdict[1], verdict[2], verdict[3]))
        elif kind == "D":
            said = self._new_order(p, command, seq)
        elif kind == "F":
            said = self._cancel(p, command)
        elif kind == "G":
            self._replace(p, command)
        else:
            self._handlers[kind](p, command, seq)
            if kind in ABOUT_MANY:
                first = len(p.reports) - 1
        p.outcomes.took(cl_ord_id, None if said else command, first)

    def _repeat(self, p: Participant, command: Command) -> None:
        """A cl_ord_id that was seen: the answer again, or why there is none. Never executed."""
        cl_ord_id: int = command[3]
        outcome, too_old = p.outcomes.find(cl_ord_id, p.reports)
        if outcome is None:
            code = Code.ID_TOO_OLD if too_old else Code.OUT_OF_ORDER
        elif outcome[1][0] == command[0] and outcome[1][3:] == command[3:]:
            self._reporter.again(p, cl_ord_id, outcome[2])
            return
        else:
            code = Code.ID_REUSED
        self._refuse(p, command, (int(code), p.mark, cl_ord_id))

    def _refuse(self, p: Participant, command: Command, refused: Refused) -> None:
        kind = command[0]
        if kind == "D":
            self._reporter.refused_order(p, command, refused)
        elif kind == "DH":
            self._party_report(p, command, 0, refused[0])
        elif kind == "UF":
            self._reporter.other(p, "UR", command[3], command[4], "", refused[0])
        else:
            order = p.orders.get(command[5]) if kind in ("F", "G", "H") else None
            self._reporter.cancel_reject(p, command, order, refused)

    # ------------------------------------------------------------ orders

    def _new_order(self, p: Participant, command: Command, seq: int) -> bool:
        """Returns whether what is told of it says all of the request, see outcomes.said."""
        plain = len(command) == D_PLAIN
        ord_type: str = command[D_ORD_TYPE]
        book = self.books.get(command[4])
        if book is None:
            self._reporter.refused_order(p, command, (int(Code.UNKNOWN_SYMBOL), 0, 0))
            return False
        special = not plain and command[D_EXEC_INST]
        if special or book.halted or p.suspended or p.session_suspended:
            refused = order_refused(book, p, whole(command))
            if refused is not None:
                self._reporter.refused_order(p, command, refused)
                return False
        order = Order(p, self._order_id_base | seq, command)
        order.symbol = book.symbol  # one string for all
        if book.no_self_trades and not order.smp_id:
            order.smp_id = -p.account  # no participant's: those are positive
        matching = self._matching
        p.orders[order.cl_ord_id] = order
        self._expiry.add(order, self._reporter.time_ns)
        self._reporter.order(order, NEW)
        if order.ord_type == STOP or order.ord_type == STOP_LIMIT:  # noqa: PLR1714 - faster
            if not triggers(order, book.last_px):
                book.stops_of(order).add(order)
                return False
            self._reporter.order(order, TRIGGERED)
        last_px = book.last_px
        matching.execute(book, order)
        if book.last_px != last_px:
            self._run_stops(book)
        return plain and ord_type == LIMIT

    def _run_stops(self, book: Book) -> None:
        """Match the stops that trades have triggered, and theirs, until none is left."""
        while (order := book.take_triggered()) is not None:
            self._reporter.order(order, TRIGGERED)
            self._matching.execute(book, order)

    def _cancel(self, p: Participant, command: Command) -> bool:
        """Returns whether what is told of it says all of the request, see outcomes.said."""
        order = p.orders.get(command[5])
        symbol: str = command[4]
        if order is None or order.symbol != symbol:
            self._reporter.cancel_reject(p, command, None, not_open(p, command))
            return False
        self._withdraw(order)
        forget(order)
        self._reporter.canceled(order, command[3])
        return True

    def _withdraw(self, order: Order) -> None:
        """Take an open order from where it stands."""
        book = self.books[order.symbol]
        if order.state == RESTING:
            (book.bids if order.side == BUY else book.asks).remove(order)
        elif order.state == WAITING:
            book.stops_of(order).remove(order)

    def _close(self, order: Order, exec_type: str, restatement: int = 0) -> None:
        """End an open order wherever it stands, without a request of its owner's."""
        self._withdraw(order)
        self._matching.close(order, exec_type, restatement)

    def _replace(self, p: Participant, command: Command) -> None:
        _, _, _, cl_ord_id, symbol, orig, order_qty, price, stop_px = command
        order = p.orders.get(orig)
        if order is None or order.symbol != symbol:
            self._reporter.cancel_reject(p, command, None, not_open(p, command))
            return
        book = self.books[symbol]
        refused = replace_refused(book, order, order_qty, price, stop_px)
        if refused is not None:
            self._reporter.cancel_reject(p, command, order, refused)
            return
        del p.orders[orig]
        order.cl_ord_id = cl_ord_id
        p.orders[cl_ord_id] = order
        if order.state == WAITING:
            self._replace_stop(book, order, orig, (order_qty, price, stop_px))
        elif price == order.price and order_qty <= order.order_qty:
            reduce(order, order_qty)
            self._reporter.replaced(order, orig)
        else:
            book.side_of(order).remove(order)
            order.order_qty, order.leaves, order.price = order_qty, order_qty - order.cum, price
            self._reporter.replaced(order, orig)
            last_px = book.last_px
            self._matching.execute(book, order)
            if book.last_px != last_px:
                self._run_stops(book)

    def _replace_stop(
        self, book: Book, order: Order, orig: int, terms: tuple[int, int, int]
    ) -> None:
        stops = book.stops_of(order)
        stops.remove(order)
        order.order_qty, order.price, order.stop_px = terms
        order.leaves = order.order_qty
        stops.add(order)
        self._reporter.replaced(order, orig)
        self._run_stops(book)

    def _mass_cancel(self, p: Participant, command: Command, _seq: int) -> None:
        kind, symbol, side = command[4:7]
        closed = 0
        for order in list(p.orders.values()):
            if symbol in ("", order.symbol) and side in ("", order.side):
                self._close(order, CANCELED, MASS_CANCEL)
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

    def _logon(self, p: Participant, command: Command, seq: int) -> None:
        gateway, session, cancel_on_disconnect, heart_bt_int, turn, shards = command[4:10]
        if (turn := turn or seq) < p.turn:
            return  # a newer session of another gateway was here first
        p.gateway, p.turn, p.cancel_on_disconnect = gateway, turn, cancel_on_disconnect
        p.session_suspended = False
        self._reporter.logon(p, heart_bt_int, shards)
        self._notices.append((NOTICE_LOGON, p.account, gateway, session, turn))

    def _disconnect(self, p: Participant, command: Command, _seq: int) -> None:
        if (p.gateway, p.turn) != (command[4], command[5]):
            return  # a newer session took over
        p.gateway = -1
        for order in canceled_on_disconnect(p):
            self._close(order, CANCELED, CANCEL_ON_DISCONNECT)

    def _party_action(self, p: Participant, command: Command, _seq: int) -> None:
        """The kill switch. Risk follows the notice; what it had already passed is refused here."""
        action, _name, symbol, session, account = command[4:9]
        code = action_refused(self.books, command)
        if code:
            self._party_report(p, command, 0, code)
            return
        switch(self.books, self.participants, command)
        closed = 0
        if action == HALT_TRADING:
            for order in self.open_orders():
                if account in (0, order.owner.account) and symbol in ("", order.symbol):
                    self._close(order, CANCELED, MASS_CANCEL)
                    closed += 1
        self._notices.append((NOTICE_PARTY, action, account, symbol, session))
        self._party_report(p, command, closed, 0)

    def _party_report(self, p: Participant, command: Command, closed: int, code: int) -> None:
        action, name, symbol = command[4:7]
        self._reporter.other(p, "DI", command[3], action, name, symbol, closed, code)

    def _feature_flag(self, p: Participant, command: Command, _seq: int) -> None:
        self._reporter.other(p, "UR", command[3], command[4], *switched(self.books, command))

    @property
    def next_expiry_ns(self) -> int | None:
        """When the next XE command is due, or None."""
        return self._expiry.next_ns

    # ------------------------------------------------------------ results

    def take(self) -> tuple[list[Any], list[Any]]:
        """What the commands since the last call told: chunks, and notices."""
        notices, self._notices, self._noticed = self._notices, [], 0
        return self._reporter.take(), notices

    def watch(self) -> None:
        """Keep what happens for changes(): a replica does, a matcher does not."""
        self._reporter.events = []

    def changes(self) -> tuple[list[Event], list[Any]]:
        """What happened to orders since the last call, in order, and the notices since then."""
        events, self._reporter.events = self._reporter.events, []
        count = len(self._notices)
        if count == self._noticed:  # as nearly always
            return events or [], []
        notices = self._notices[self._noticed :]
        self._noticed = count
        return events or [], notices

    def open_orders(self) -> list[Order]:
        """All, as they came."""
        return open_orders(self.participants)

    def state(self) -> EngineState:
        """Everything that decides what happens next, after a take()."""
        return EngineState(
            [book_state(self.books[symbol]) for symbol in sorted(self.books)],
            [participant_state(self.participants[a]) for a in sorted(self.participants)],
            [order.order_id for order in self.open_orders()],
            self._reporter.exec_id,
            self._matching.match_id,
        )

    def restore(self, saved: EngineState) -> None:
        """Go on where the engine that gave this state was; this one must be new.

        Raises OperatorError when it holds a symbol that is not traded here any more."""
        for book in saved.books:
            if book.symbol not in self.books:
                raise OperatorError(
                    f"{book.symbol} has traded here and is not listed any more: put it back"
                )
        participants = self.participants
        for row in saved.participants:
            participants[row.account] = restore_participant(row)
        orders: dict[int, Order] = {}
        for book in saved.books:
            for order in restore_book(self.books[book.symbol], book, participants):
                orders[order.order_id] = order
        by_request = {(o.owner.account, o.cl_ord_id): o for o in orders.values()}
        for row in saved.participants:
            own = {i: by_request[row.account, i] for i in row.orders}
            participants[row.account].orders = own
        for order_id in saved.orders:
            self._expiry.resume(orders[order_id])
        self._reporter.exec_id, self._matching.match_id = saved.exec_id, saved.match_id

    def digest(self) -> bytes:
        """A hash of the state."""
        return digest(self.state())
