"""The participant's side of the session, without sockets: bytes in, messages and bytes out.

Invariants: a numbered report is applied once, in order, whatever is repeated or missing; after a
reconnect everything missed is asked for, and what was not answered is sent again under the same
cl_ord_id, which the exchange never executes twice. Without a session requests are held back: the
exchange takes ids in ascending order only, so none may overtake those that are sent again.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from rtes.client.errors import NotConnected
from rtes.client.orders import Account, Order
from rtes.common import messages as m
from rtes.common.enums import CancelOnDisconnect, ExecType
from rtes.common.refusals import Code

CREDIT: Final = 900  # requests in flight; the exchange's own limit is 1,000
RESEND_NS: Final = 1_000_000_000  # silence after which unanswered requests go out again
GAP_NS: Final = 200_000_000  # between two requests for the same missing report
_decode_one = msgspec.msgpack.Decoder(m.Outbound).decode
_decode_batch = msgspec.msgpack.Decoder(list[m.Outbound]).decode
Numbered = (
    m.ExecutionReport
    | m.OrderCancelReject
    | m.OrderMassCancelReport
    | m.OrderMassStatusReport
    | m.PartyActionReport
)


class Session:
    """One account's session. `outbox` holds frames to send, in order."""

    def __init__(
        self,
        account: str,
        heart_bt_int: int = 30,
        cancel_on_disconnect: CancelOnDisconnect = CancelOnDisconnect.NOTHING,
    ) -> None:
        self.account = Account()
        self.outbox: deque[bytes] = deque()
        self.logged_on = False
        self.refused: m.BusinessMessageReject | None = None  # of the logon
        self.ended: str | None = None  # the exchange's last word, when it ended the session
        self.unanswered: dict[int, m.Inbound] = {}
        self._questions: dict[str, m.Inbound] = {}  # without cl_ord_id, by their own id
        self.last_seq_num = 0  # last report applied
        self._name = account
        self._heart_bt_int = heart_bt_int
        self._cancel_on_disconnect = cancel_on_disconnect
        self._last_cl_ord_id = 0
        self._placed = False  # knows from which report on it follows
        self._early: dict[int, Numbered] = {}  # reports beyond a gap
        self._head = 0  # highest report number known of
        self._asked_ns = 0
        self._logon_ns = 0  # when to log on again, less RESEND_NS
        self._sent_ns = 0
        self._heard_ns = 0

    def logon(self, now_ns: int) -> None:
        """Begin, or begin again after the connection was lost."""
        self.logged_on = False
        self.ended = None
        self.refused = None
        message = m.Logon(
            self._name, m.PROTOCOL_VERSION, self._heart_bt_int, self._cancel_on_disconnect
        )
        self._logon_ns = now_ns
        self._put(m.encode(message), now_ns)

    def check(self) -> None:
        """Raises NotConnected when the exchange ended the session."""
        if self.ended is not None:
            raise NotConnected(f"the exchange ended the session: {self.ended}")

    def next_id(self) -> int:
        """A cl_ord_id above all that the account has used."""
        self._last_cl_ord_id += 1
        return self._last_cl_ord_id

    @property
    def room(self) -> int:
        """How many requests may still be sent before answers must come."""
        return CREDIT - len(self.unanswered)

    def send(self, messages: Sequence[m.Inbound], now_ns: int) -> None:
        """Queue requests as one frame and remember them until they are answered.

        Raises NotConnected when the exchange ended the session."""
        self.check()
        for message in messages:
            if cl_ord_id := getattr(message, "cl_ord_id", 0):
                self.unanswered[cl_ord_id] = message
            elif question_id := _question_id(message):
                self._questions[question_id] = message
            if isinstance(message, m.NewOrderSingle):
                self.account.orders[cl_ord_id] = Order.of(message)
        if not self.logged_on:
            return  # sent by _logon_reply
        frame = m.encode(messages[0]) if len(messages) == 1 else m.encode(list(messages))
        self._put(frame, now_ns)

    def _put(self, frame: bytes, now_ns: int) -> None:
        self.outbox.append(frame)
        self._sent_ns = now_ns

    # ------------------------------------------------------------ what comes

    def receive(self, frame: bytes, now_ns: int) -> list[m.Outbound]:
        """Take a frame; returns what is new in it, repeats left out, gaps held back."""
        self._heard_ns = now_ns
        first = frame[1] if frame[0] & 0xF0 == 0x90 else frame[3] if frame[0] == 0xDC else 0x90
        batch = first & 0xF0 == 0x90 or first in (0xDC, 0xDD)
        found: list[m.Outbound] = []
        for message in _decode_batch(frame) if batch else [_decode_one(frame)]:
            if isinstance(message, Numbered):
                found.extend(self._numbered(message, now_ns))
            else:
                self._unnumbered(message, now_ns)
                found.append(message)
        return found

    def _unnumbered(self, message: Any, now_ns: int) -> None:
        match message:
            case m.LogonReply():
                self._logon_reply(message, now_ns)
            case m.TestRequest():
                self._put(m.encode(m.Heartbeat(message.test_req_id)), now_ns)
            case m.Logout():
                self.logged_on = False
                self.ended = message.text
            case m.GoAway():  # what is sent from here on, nobody would read
                self.logged_on = False
                self._logon_ns = now_ns + message.deadline_ms * 1_000_000 - RESEND_NS
            case m.BusinessMessageReject():
                self._business_reject(message, now_ns)
            case m.SecurityList() | m.PositionReport():
                self._questions.pop(_question_id(message), None)

    def _logon_reply(self, message: m.LogonReply, now_ns: int) -> None:
        self._last_cl_ord_id = max(self._last_cl_ord_id, message.last_cl_ord_id)
        if not self._placed:  # a new process: it follows from here on
            self._placed = True
            self.last_seq_num = message.appl_last_seq_num
        self._head = max(self._head, message.appl_last_seq_num)
        again = [] if self.logged_on else [*self._questions.values(), *self.unanswered.values()]
        self.logged_on = True
        if self.last_seq_num < self._head:
            self._ask(now_ns)
        for start in range(0, len(again), m.BATCH_MESSAGES_MAX):
            self._put(m.encode(again[start : start + m.BATCH_MESSAGES_MAX]), now_ns)

    def _business_reject(self, message: m.BusinessMessageReject, now_ns: int) -> None:
        if message.ref_msg_type == "A":
            self.refused = message
        elif message.reject_code == Code.NOT_LOGGED_ON:
            if self.logged_on:  # the gateway restarted; what it refused is sent again
                self.logon(now_ns)
        else:
            request = self.unanswered.pop(message.cl_ord_id, None)
            if isinstance(request, m.NewOrderSingle):
                self.account.orders.pop(message.cl_ord_id, None)

    def _numbered(self, report: Numbered, now_ns: int) -> list[m.Outbound]:
        number = report.appl_seq_num
        if not self._placed:
            return []  # told again once we know where we are
        if number <= self.last_seq_num:
            self._answered(report)
            return []
        self._early[number] = report
        self._head = max(self._head, number)
        found: list[m.Outbound] = []
        while (report_now := self._early.pop(self.last_seq_num + 1, None)) is not None:
            self.last_seq_num += 1
            self._apply(report_now)
            found.append(report_now)
        if self._early:
            self._ask(now_ns)
        return found

    def _ask(self, now_ns: int) -> None:
        """Ask for the reports that are missing, but not at every sign of them."""
        if now_ns - self._asked_ns >= GAP_NS:
            self._asked_ns = now_ns
            self._put(m.encode(m.ResendRequest(self.last_seq_num + 1)), now_ns)

    def _apply(self, report: Numbered) -> None:
        if isinstance(report, m.ExecutionReport):
            self.account.apply(report)
        elif isinstance(report, m.OrderCancelReject):
            order = self.account.orders.get(report.orig_cl_ord_id)
            if order is not None:
                order.refuse(report)
        self._answered(report)

    def _answered(self, report: Numbered) -> None:
        if isinstance(report, m.ExecutionReport) and report.exec_type is ExecType.ORDER_STATUS:
            for cl_ord_id, request in list(self.unanswered.items()):
                match request:
                    case m.OrderStatusRequest(orig_cl_ord_id=report.cl_ord_id):
                        del self.unanswered[cl_ord_id]
            return
        self.unanswered.pop(report.cl_ord_id, None)

    def tick(self, now_ns: int) -> None:
        """Call now and then: heartbeats, unanswered requests, missing reports."""
        if not self.logged_on:
            if now_ns - self._logon_ns >= RESEND_NS and self.ended is None:
                self.logon(now_ns)
            return
        if self.last_seq_num < self._head:
            self._ask(now_ns)
        last_ns = max(self._heard_ns, self._sent_ns)
        if self.unanswered and now_ns - last_ns >= RESEND_NS:
            self._put(m.encode(list(self.unanswered.values())[: m.BATCH_MESSAGES_MAX]), now_ns)
        elif now_ns - self._sent_ns >= self._heart_bt_int * 1_000_000_000:
            self._put(m.encode(m.Heartbeat()), now_ns)


def _question_id(message: object) -> str:
    """The id of a question that has no cl_ord_id, or of an answer to it."""
    return str(getattr(message, "security_req_id", "") or getattr(message, "pos_req_id", ""))
