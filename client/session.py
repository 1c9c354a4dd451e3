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
from rtes.common.flagwire import FeatureFlagReport, FeatureFlagRequest
from rtes.common.refusals import CATALOGUE, Code

CREDIT: Final = 900  # requests in flight; the exchange's own limit is 1,000
RETRY_NS: Final = 1_000_000_000  # silence after which a logon shows what became of requests
GAP_NS: Final = 200_000_000  # between two requests for the same missing report
S_NS: Final = 1_000_000_000
REPLACED: Final = CATALOGUE[Code.REPLACED_SESSION].text
NUMBERED: Final = frozenset(
    (
        m.ExecutionReport,
        m.OrderCancelReject,
        m.OrderMassCancelReport,
        m.OrderMassStatusReport,
        m.PartyActionReport,
        FeatureFlagReport,
    )
)
TO_ALL_SHARDS: Final = (
    m.OrderMassCancelRequest, m.OrderMassStatusRequest, m.PartyActionRequest,
    FeatureFlagRequest,
)  # fmt: skip
_decode_one = msgspec.msgpack.Decoder(m.Outbound).decode
_decode_batch = msgspec.msgpack.Decoder(list[m.Outbound]).decode
_decode_own = msgspec.msgpack.Decoder(m.Inbound).decode


class Stream:
    """The account's reports from one matcher shard, numbered without a gap."""

    def __init__(self, last_seq_num: int) -> None:
        self.last_seq_num = last_seq_num  # last report applied
        self.head = last_seq_num  # highest number known of
        self.early: dict[int, Any] = {}  # reports beyond a gap
        self.asked_ns = 0


class Session:
    """One account's session. `outbox` holds frames to send, in order."""

    def __init__(
        self,
        account: str,
        heart_bt_int: int = 30,
        cancel_on_disconnect: CancelOnDisconnect = CancelOnDisconnect.NOTHING,
    ) -> None:
        self.name = account
        self.account = Account()
        self.outbox: deque[bytes] = deque()
        self.logged_on = False
        self.refused: m.BusinessMessageReject | None = None  # of the logon
        self.ended: str | None = None  # why the exchange will have no more of this session
        self.unanswered: dict[int, m.Inbound] = {}
        self.streams: dict[int, Stream] = {}  # by appl_id, from the first LogonReply on
        self.frames_bad = 0  # could not be read
        self.reports_lost = 0  # told while we were away, and not kept by the exchange
        self._questions: dict[str, m.Inbound] = {}  # without cl_ord_id, by their own id
        self._again: set[int] = set()  # unanswered requests that were sent more than once
        self._answers: dict[int, set[int]] = {}  # shards that answered a request to all of them
        self._logon = m.encode(
            m.Logon(account, m.PROTOCOL_VERSION, heart_bt_int, cancel_on_disconnect)
        )
        self._heart_bt_ns = heart_bt_int * S_NS
        self._shards = 0  # of the matcher, as far as is known
        self._last_cl_ord_id = 0
        self._last_question = 0
        self._logon_ns = 0  # when the last logon was sent
        self._sent_ns = 0
        self._heard_ns = 0

    def logon(self, now_ns: int) -> None:
        """Begin, or begin again: after the connection was lost, and to learn what became of
        requests. The matcher answers in its turn, so with the answer everything is told that
        came of what was sent before; what is unanswered then was lost and is sent again."""
        self.logged_on = False
        self.refused = None
        self._logon_ns = now_ns
        self.outbox.clear()  # it is sent again, in order, when the logon is answered
        self._put(self._logon, now_ns)

    def lost(self, now_ns: int) -> None:
        """The connection went away, and the exchange's session with it."""
        if self.ended is None:
            self.logon(now_ns)

    def check(self) -> None:
        """Raises NotConnected when the exchange ended the session."""
        if self.ended is not None:
            raise NotConnected(f"the exchange ended the session: {self.ended}")

    def next_id(self) -> int:
        """A cl_ord_id above all that the account has used."""
        self._last_cl_ord_id += 1
        return self._last_cl_ord_id

    def next_question(self) -> str:
        """An id for a question that has no cl_ord_id."""
        self._last_question += 1
        return f"q{self._last_question}"

    @property
    def room(self) -> int:
        """How many requests may still be sent before answers must come."""
        return CREDIT - len(self.unanswered)

    @property
    def silent(self) -> list[int]:
        """Matcher shards that have never answered a logon, though another has."""
        return [shard for shard in range(self._shards) if shard not in self.streams]

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
        if self.logged_on:  # else _logon_reply sends them
            self._put_batches(messages, now_ns)

    def _put_batches(self, messages: Sequence[m.Inbound], now_ns: int) -> None:
        if len(messages) == 1:
            self._put(m.encode(messages[0]), now_ns)
            return
        for start in range(0, len(messages), m.BATCH_MESSAGES_MAX):
            self._put(m.encode(list(messages[start : start + m.BATCH_MESSAGES_MAX])), now_ns)

    def _put(self, frame: bytes, now_ns: int) -> None:
        self.outbox.append(frame)
        self._sent_ns = now_ns

    # ------------------------------------------------------------ what comes

    def receive(self, frame: bytes, now_ns: int) -> list[m.Outbound]:
        """Take a frame; returns what is new in it, repeats left out, gaps held back."""
        self._heard_ns = now_ns
        try:
            messages = _decode_batch(frame) if _is_batch(frame) else [_decode_one(frame)]
        except msgspec.DecodeError:
            self.frames_bad += 1
            return []
        found: list[m.Outbound] = []
        for message in messages:
            if type(message) in NUMBERED:
                self._numbered(message, found, now_ns)
            elif type(message) is not m.BusinessMessageReject:
                self._unnumbered(message, now_ns)
                found.append(message)
            elif self._business_reject(message, now_ns):
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
                if message.text == REPLACED:  # logging on again would never end
                    self.ended = message.text
            case m.GoAway():  # what is sent from here on, nobody would read
                self.logged_on = False
                self._logon_ns = now_ns + message.deadline_ms * 1_000_000 - RETRY_NS
            case m.Reject():
                self._reject()
            case m.SequenceReset():
                self._skip(message)
            case m.SecurityList() | m.PositionReport():
                self._questions.pop(_question_id(message), None)

    def _logon_reply(self, message: m.LogonReply, now_ns: int) -> None:
        """A new process waits for all shards, to begin above the ids that older sessions used in
        any of them; later on it knows its own, and goes on with the shards that answer."""
        self._last_cl_ord_id = max(self._last_cl_ord_id, message.last_cl_ord_id)
        self._shards = message.no_appl_ids
        stream = self.streams.get(message.appl_id)
        if stream is None:  # a new process: it follows from here on
            stream = self.streams[message.appl_id] = Stream(message.appl_last_seq_num)
        stream.head = max(stream.head, message.appl_last_seq_num)
        if stream.last_seq_num < stream.head:
            self._ask(message.appl_id, stream, now_ns)
        if not self.logged_on and not self.silent:
            self.logged_on = True
            self._again.update(self.unanswered)
            self._put_batches([*self._questions.values(), *self.unanswered.values()], now_ns)

    def _business_reject(self, message: m.BusinessMessageReject, now_ns: int) -> bool:
        """The gateway did not take a message, and its id is spent. False when that is no answer:
        it goes out again for want of a session, or because it was sent before and a copy may have
        been taken; or it was answered meanwhile, and this is the refusal of a copy."""
        code = message.reject_code
        if message.ref_msg_type == "A":
            self.refused = message
            if self.streams and code not in (Code.BUSY, Code.THROTTLED, Code.BANNED):
                self.ended = CATALOGUE[Code(code)].text  # it was good before and no longer is
            return True
        if code == Code.NOT_LOGGED_ON:
            if self.logged_on:  # the gateway restarted
                self.logon(now_ns)
            return False
        if message.cl_ord_id and message.cl_ord_id not in self.unanswered:
            return False
        if message.cl_ord_id in self._again:
            self.logged_on = False  # after a while, once more
            self._logon_ns = now_ns
            return False
        if message.cl_ord_id:
            self._forget(message.cl_ord_id)
        else:
            self._questions = {
                i: q for i, q in self._questions.items() if _tag(q) != message.ref_msg_type
            }
        return True

    def _reject(self) -> None:
        """Something we sent could not be read; it does not say what, so look for it."""
        for cl_ord_id in [i for i, q in self.unanswered.items() if not _readable(q)]:
            self._forget(cl_ord_id)
        self._questions = {i: q for i, q in self._questions.items() if _readable(q)}

    def _forget(self, cl_ord_id: int) -> None:
        """A request that never reached the matcher."""
        self._settle(cl_ord_id)
        order = self.account.orders.get(cl_ord_id)
        if order is not None and order.status is None:
            del self.account.orders[cl_ord_id]

    def _numbered(self, report: Any, found: list[m.Outbound], now_ns: int) -> None:
        stream = self.streams.get(report.appl_id)
        if stream is None:
            return  # told again once we know where we are
        number = report.appl_seq_num
        if number <= stream.last_seq_num:
            self._answered(report)
            return
        stream.head = max(stream.head, number)
        stream.early[number] = report
        while (due := stream.early.pop(stream.last_seq_num + 1, None)) is not None:
            stream.last_seq_num += 1
            self._apply(due)
            found.append(due)
        if stream.early:
            self._ask(report.appl_id, stream, now_ns)

    def _ask(self, appl_id: int, stream: Stream, now_ns: int) -> None:
        """Ask for the reports that are missing, but not at every sign of them."""
        if now_ns - stream.asked_ns >= GAP_NS:
            stream.asked_ns = now_ns
            self._put(m.encode(m.ResendRequest(stream.last_seq_num + 1, appl_id)), now_ns)

    def _skip(self, reset: m.SequenceReset) -> None:
        """The exchange does not keep what we missed: go on from what it has."""
        stream = self.streams.get(reset.appl_id)
        if stream is not None:
            next_number = reset.new_seq_no or min(stream.early, default=stream.head + 1)
            self.reports_lost += max(0, next_number - 1 - stream.last_seq_num)
            stream.last_seq_num = max(stream.last_seq_num, next_number - 1)

    def _apply(self, report: Any) -> None:
        if isinstance(report, m.ExecutionReport):
            if report.exec_type is ExecType.ORDER_STATUS and not report.order_id:
                self._answered(report)  # it is not open: the report says nothing more of it
                return
            order = self.account.apply(report)
            request = self.unanswered.get(report.cl_ord_id)
            if isinstance(request, m.OrderCancelReplaceRequest):
                order.stop_px = request.stop_px
        elif isinstance(report, m.OrderCancelReject):
            refused = self.account.orders.get(report.orig_cl_ord_id)
            if refused is not None:
                refused.refuse(report)
        self._answered(report)

    def _answered(self, report: Any) -> None:
        cl_ord_id = report.cl_ord_id
        if isinstance(report, m.ExecutionReport) and report.exec_type is ExecType.ORDER_STATUS:
            for asked, request in list(self.unanswered.items()):
                match request:
                    case m.OrderStatusRequest(orig_cl_ord_id=orig) if orig == cl_ord_id:
                        self._settle(asked)
        elif isinstance(self.unanswered.get(cl_ord_id), TO_ALL_SHARDS):
            answers = self._answers.setdefault(cl_ord_id, set())
            answers.add(report.appl_id)
            if len(answers) >= len(self.streams):
                self._settle(cl_ord_id)
        else:
            self._settle(cl_ord_id)

    def _settle(self, cl_ord_id: int) -> None:
        if self.unanswered.pop(cl_ord_id, None) is not None:
            self._again.discard(cl_ord_id)
            self._answers.pop(cl_ord_id, None)

    def tick(self, now_ns: int) -> None:
        """Call now and then: heartbeats, missing reports, an exchange that went silent."""
        if self.ended is not None:
            return
        if not self.logged_on:
            if now_ns - self._logon_ns >= RETRY_NS:
                self.logon(now_ns)
            return
        for appl_id, stream in self.streams.items():
            if stream.last_seq_num < stream.head:
                self._ask(appl_id, stream, now_ns)
        owed = bool(self.unanswered or self._questions)
        silent = owed and now_ns - max(self._heard_ns, self._sent_ns) >= RETRY_NS
        if silent or now_ns - self._heard_ns >= 2 * self._heart_bt_ns + S_NS:
            self.logon(now_ns)
        elif now_ns - self._sent_ns >= self._heart_bt_ns:
            self._put(m.encode(m.Heartbeat()), now_ns)


def _is_batch(frame: bytes) -> bool:
    """Whether the array's first element is anything but a text, which would be a message's type."""
    at = {b"\xdc": 3, b"\xdd": 5}.get(frame[:1], 1)
    return not b"\xa0" <= frame[at : at + 1] <= b"\xbf"


def _question_id(message: object) -> str:
    """The id of a question that has no cl_ord_id, or of an answer to it."""
    return str(getattr(message, "security_req_id", "") or getattr(message, "pos_req_id", ""))


def _tag(message: Any) -> str:
    return str(message.__struct_config__.tag)


def _readable(request: m.Inbound) -> bool:
    """Whether the exchange can read it; structs do not check what they are made of."""
    try:
        _decode_own(m.encode(request))
    except (msgspec.MsgspecError, OverflowError):
        return False
    return True
