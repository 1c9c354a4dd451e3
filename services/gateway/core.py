"""The gateway: sessions in front, lanes to risk behind, reports from the feed on the way back.

Invariants: a message is taken only from the key that logged on; what is taken stays in its lane
until the matcher's feed acknowledges it, whatever dies in between; a report reaches a
participant exactly as the matcher journaled it. A full lane or a full session is told BUSY at
once; cancels keep a reserve of both.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from msgspec.structs import astuple
from rtes.common import feed, link
from rtes.common import messages as m
from rtes.common.loop import Send, Vitals
from rtes.common.records import (
    CMD_DISCONNECT,
    CMD_LOGON,
    NOTICE_LOGON,
    Block,
    Command,
    decode,
    encode,
    home_shard,
)
from rtes.common.refdata import Account, Instrument
from rtes.common.refusals import Code, explain
from rtes.common.riskwire import QUERY, TOPIC_ANSWER
from rtes.services.gateway import admission
from rtes.services.gateway.lanes import Lanes
from rtes.services.gateway.limits import GatewayLimits
from rtes.services.gateway.sessions import OPEN, PENDING, Session, Sessions

CLIENTS: Final = 1  # channel (ROUTER): participants
FEED: Final = 2  # channel: blocks and status of all matchers
RISK_STATUS: Final = 3  # channel: what risk expects, answers to queries
RISK: Final = 10  # channel of risk shard 0
ARCHIVE: Final = 50  # channel of the archive of shard 0


class Route(NamedTuple):
    """How a sequenced message travels: cancels keep a reserve, some go to every shard."""

    tag: str
    cancel: bool = False
    to_all: bool = False


ROUTES: Final[dict[type, Route]] = {
    m.NewOrderSingle: Route("D"),
    m.OrderCancelRequest: Route("F", cancel=True),
    m.OrderCancelReplaceRequest: Route("G"),
    m.OrderMassCancelRequest: Route("q", cancel=True, to_all=True),
    m.OrderStatusRequest: Route("H"),
    m.OrderMassStatusRequest: Route("AF", to_all=True),
    m.PartyActionRequest: Route("DH", to_all=True),
}


class GatewayCore:
    """One gateway. account_of(key) is the account a CURVE public key belongs to, or None."""

    def __init__(
        self,
        gateway: int,
        epoch: int,
        instruments: list[Instrument],
        accounts: list[Account],
        account_of: Callable[[str, str], Account | None],
        limits: GatewayLimits,
        risk_shards: int = 1,
        matcher_shards: int = 1,
    ) -> None:
        self.outbox: list[Send] = []
        self.refuses_unknown_keys = False  # set by the start-up self-test
        self._gateway = gateway
        self._instruments = instruments
        self._shard_of = {i.symbol: i.shard for i in instruments}
        self._accounts = {a.name: a for a in accounts}
        self._account_of = account_of
        self._limits = limits
        self._risks = risk_shards
        self._matchers = range(matcher_shards)
        self._sessions = Sessions(epoch << 16 & (1 << 62) - 1)
        self._lanes = Lanes(gateway, epoch, risk_shards, matcher_shards)
        self._followers = feed.Followers(self._matchers, from_head=True)
        self._risk_epochs: dict[int, int] = {}
        self._wall_ns = 0  # business time, stamped on commands; now_ns is for whatever waits
        self._orders = self._cancels = self._busy_count = self._rejects = self._reports = 0

    # ------------------------------------------------------------ inward

    def receive(self, channel: int, frames: list[Any], now_ns: int, wall_ns: int) -> None:
        self._wall_ns = wall_ns
        if channel == CLIENTS:
            for routing_id, user, frame in frames:
                self._client(routing_id, user, frame, now_ns)
        elif channel == FEED:
            for frame in frames:
                self._feed(frame, now_ns)
        elif channel == RISK_STATUS:
            for frame in frames:
                self._risk(frame, now_ns)
        else:
            for frame in frames:
                self._archive(frame, now_ns)

    def _client(self, routing_id: bytes, user: str, frame: bytes, now_ns: int) -> None:
        session = self._sessions.by_routing_id.get(routing_id)
        messages, rejects = admission.read(frame)
        if session is not None:
            if session.user != user:
                self._tell(routing_id, m.Logout("another key opened this session"))
                return
            session.received_ns = now_ns
            session.tested = False
            if not session.take_tokens(len(messages), self._limits.messages_per_s_max, now_ns):
                self._throttle(session, messages)
                return
        for reject in rejects:
            self._rejects += 1
            self._tell(routing_id, reject)
        for message in messages:
            if session is None:
                session = self._before_logon(routing_id, user, message, now_ns)
            elif (route := ROUTES.get(type(message))) is not None:
                self._order(session, message, route)
            else:
                self._other(session, message, now_ns)

    def _throttle(self, session: Session, messages: list[m.Inbound]) -> None:
        """Over the session's rate: nothing is taken but cancels, which always pass."""
        limit = self._limits.messages_per_s_max
        for message in messages:
            route = ROUTES.get(type(message))
            if route is not None and route.cancel:
                self._order(session, message, route)
            else:
                refusal = admission.refuse(message, Code.THROTTLED, limit, len(messages), 1_000)
                self._tell(session.routing_id, refusal)

    def _before_logon(
        self, routing_id: bytes, user: str, message: m.Inbound, now_ns: int
    ) -> Session | None:
        """Only Logon opens a session, and only for the account of the key."""
        if type(message) is not m.Logon:
            self._tell(routing_id, admission.refuse(message, Code.NOT_LOGGED_ON))
            return None
        if message.protocol_version not in (m.PROTOCOL_VERSION, m.PROTOCOL_VERSION - 1):
            value = message.protocol_version
            refusal = admission.refuse(message, Code.VERSION, m.PROTOCOL_VERSION, value)
            self._tell(routing_id, refusal)
            return None
        account = self._account_of(user, message.sender_comp_id)
        if account is None:
            self._tell(routing_id, admission.refuse(message, Code.NOT_AUTHORIZED))
            return None
        if len(self._sessions) >= self._limits.sessions_max:
            limit = self._limits.sessions_max
            self._tell(routing_id, admission.refuse(message, Code.BUSY, limit, limit, 1_000))
            return None
        lanes = self._lanes.of_account(account.id)
        session = self._sessions.add(routing_id, user, account, lanes, now_ns)
        self._sequence_logon(session, message)
        return session

    def _sequence_logon(self, session: Session, message: m.Logon) -> None:
        """The home shard gives the logon its place among the account's; then all shards know."""
        session.heart_bt_ns = message.heart_bt_int * 1_000_000_000
        session.settings = (int(message.cancel_on_disconnect), message.heart_bt_int)
        home = home_shard(session.account.id, len(session.lanes))
        session.lanes[home].batch.append(self._logon_command(session, turn=0))

    def _logon_command(self, session: Session, turn: int) -> Command:
        start = (CMD_LOGON, session.account.id, self._wall_ns, 0, self._gateway, session.number)
        return (*start, *session.settings, turn)

    def _order(self, session: Session, message: Any, route: Route) -> None:
        """The path of every message that the matcher sequences."""
        tag, cancel, to_all = route
        lane = session.lanes[0 if to_all else self._shard_of.get(message.symbol, 0)]
        if (refusal := self._busy(session, lane.held, cancel)) is not None:
            self._busy_count += 1
            self._tell(session.routing_id, admission.refuse(message, *refusal))
            return
        if cancel:
            self._cancels += 1
        else:
            self._orders += 1
        command = (tag, session.account.id, self._wall_ns, *astuple(message))
        if to_all:
            session.to_all_shards(command)
        else:
            lane.batch.append(command)
        session.in_flight += 1

    def _busy(
        self, session: Session, held: int, cancel: bool
    ) -> tuple[Code, int, int, int] | None:
        """(code, limit, value, retry_after_ms) when the session or its lane is full."""
        limits = self._limits
        if session.state == PENDING:
            return Code.NOT_LOGGED_ON, 0, 0, 10
        if held >= limits.lane_window * (1.0 if cancel else limits.orders_share):
            return Code.BUSY, limits.lane_window, held, 10
        if session.in_flight >= limits.credit * (2 if cancel else 1):
            return Code.BUSY, limits.credit, session.in_flight, 10
        return None

    def _other(self, session: Session, message: m.Inbound, now_ns: int) -> None:
        """Everything but orders and cancels."""
        match message:
            case m.TestRequest():
                self._tell_session(session, m.Heartbeat(message.test_req_id), now_ns)
            case m.ResendRequest():
                self._history(session, message)
            case m.SecurityListRequest():
                self._security_list(session, message, now_ns)
            case m.RequestForPositions():
                self._positions(session, message)
            case m.Logout():
                self._tell_session(session, m.Logout("goodbye"), now_ns)
                self.close(session)
            case m.Logon():  # the answer was lost: it comes again
                self._sequence_logon(session, message)

    def _history(self, session: Session, message: m.ResendRequest) -> None:
        if message.appl_id in self._matchers:
            request = feed.history_request(
                message.appl_id, session.account.id, message.begin_seq_no, session.number
            )
            self.outbox.append((ARCHIVE + message.appl_id, None, request))

    def _security_list(
        self, session: Session, message: m.SecurityListRequest, now_ns: int
    ) -> None:
        total = len(self._instruments)
        for i in self._instruments:
            row = m.SecurityList(
                message.security_req_id,
                total,
                i.symbol,
                i.shard,
                i.tick_size,
                i.lot_size,
                i.currency,
                i.min_price_increment,
                i.round_lot,
                i.min_trade_vol,
                i.max_trade_vol,
                i.reference_price,
            )
            self._tell_session(session, row, now_ns)

    def _positions(self, session: Session, message: m.RequestForPositions) -> None:
        account = session.account
        if message.account not in ("", account.name):
            other = self._accounts.get(message.account)
            if account.role != "operator" or other is None:
                refusal = admission.refuse(message, Code.NOT_AUTHORIZED)
                self._tell(session.routing_id, refusal)
                return
            account = other
        stamp = link.HEADER.pack(QUERY, self._gateway, 0, 0)
        body = encode((session.number, account.id, message.pos_req_id))
        self.outbox.append((RISK + account.id % self._risks, None, stamp + body))

    # ------------------------------------------------------------ outward

    def _feed(self, frame: bytes, now_ns: int) -> None:
        blocks, _status = self._followers.take(frame)
        for block in blocks:
            self._block(block, now_ns)

    def _block(self, block: Block, now_ns: int) -> None:
        """Acknowledge our lanes, follow logons, hand each account its reports."""
        self._lanes.ack(block.acks)
        for notice in block.notices:
            if notice[0] == NOTICE_LOGON and block.shard == home_shard(
                notice[1], len(self._matchers)
            ):
                self._logon(notice, now_ns)
        by_account = self._sessions.by_account
        for account, _first, reports, answered, data in block.chunks:
            session = by_account.get(account)
            if session is not None:
                session.in_flight = max(0, session.in_flight - answered)
                session.sent_ns = now_ns
                self._reports += reports
                self.outbox.append((CLIENTS, session.routing_id, data))

    def _logon(self, notice: Any, now_ns: int) -> None:
        """The home shard sequenced a logon: the newest session of an account wins everywhere."""
        _, account, gateway, number, turn = notice
        session = self._sessions.find(number) if gateway == self._gateway else None
        present = self._sessions.by_account.get(account)
        if session is not None:
            present = self._sessions.open(session)
            session.turn = turn
            home = home_shard(account, len(session.lanes))
            for shard, lane in enumerate(session.lanes):
                if shard != home:
                    lane.batch.append(self._logon_command(session, turn))
        elif gateway == self._gateway:
            self._disconnect(account, turn)  # it was closed before it was confirmed
        if present is not None and present is not session:
            self._tell_session(present, m.Logout(explain(Code.REPLACED_SESSION, 0, 0)), now_ns)
            self._sessions.remove(present)

    def _risk(self, frame: bytes, now_ns: int) -> None:
        if frame[:1] == TOPIC_ANSWER:
            number, rows = decode(frame[3:])
            session = self._sessions.find(number)
            if session is not None:
                self.outbox.append((CLIENTS, session.routing_id, encode(rows)))
            return
        shard, epoch, entries = decode(frame[1:])
        self._risk_epochs[shard] = epoch
        self._to_risk(self._lanes.status(shard, epoch, entries, now_ns))

    def _to_risk(self, frames: Iterable[tuple[int, bytes]]) -> None:
        self.outbox.extend((RISK + shard, None, frame) for shard, frame in frames)

    def _archive(self, frame: bytes, now_ns: int) -> None:
        """A replayed block, or a piece of an account's history."""
        if frame[:1] in (feed.TOPIC_BLOCK, feed.TOPIC_END):
            self._feed(frame, now_ns)
            return
        _shard, account, number, data = decode(frame)
        session = self._sessions.find(number)
        if session is not None and session.account.id == account:
            self.outbox.append((CLIENTS, session.routing_id, data))

    # ------------------------------------------------------------ batch and time

    def flush(self, now_ns: int, wall_ns: int) -> None:
        self._wall_ns = wall_ns
        self._to_risk(self._lanes.flush(self._followers.applied, now_ns))
        for shard, seq in self._followers.requests(now_ns):
            self.outbox.append((ARCHIVE + shard, None, feed.replay_request(shard, seq)))

    def tick(self, now_ns: int) -> None:
        """Heartbeats out, silence noticed."""
        for session in list(self._sessions.by_routing_id.values()):
            if session.state == OPEN and now_ns - session.sent_ns >= session.heart_bt_ns:
                self._tell_session(session, m.Heartbeat(), now_ns)
            silent_ns = now_ns - session.received_ns
            if silent_ns > 2 * session.heart_bt_ns:
                self._tell_session(session, m.Logout("nothing heard for two intervals"), now_ns)
                self.close(session)
            elif silent_ns > 1.2 * session.heart_bt_ns and not session.tested:
                session.tested = True
                self._tell_session(session, m.TestRequest("alive"), now_ns)

    def undelivered(self, _channel: int, routing_id: bytes) -> None:
        """The client is gone or does not read: it finds everything on its return."""
        session = self._sessions.by_routing_id.get(routing_id)
        if session is not None:
            self.close(session)

    def close(self, session: Session) -> None:
        """End a session and let the matcher cancel what it was asked to."""
        self._sessions.remove(session)
        if session.turn:
            self._disconnect(session.account.id, session.turn)

    def _disconnect(self, account: int, turn: int) -> None:
        end = (CMD_DISCONNECT, account, self._wall_ns, 0, self._gateway, turn)
        for lane in self._lanes.of_account(account):
            lane.batch.append(end)

    def goodbye(self, now_ns: int) -> None:
        """The gateway stops: sessions move, their orders stay."""
        for session in self._sessions.by_routing_id.values():
            self._tell_session(session, m.GoAway("", 1_000), now_ns)

    def _tell(self, routing_id: bytes, message: m.Outbound) -> None:
        self.outbox.append((CLIENTS, routing_id, m.encode(message)))

    def _tell_session(self, session: Session, message: m.Outbound, now_ns: int) -> None:
        session.sent_ns = now_ns
        self._tell(session.routing_id, message)

    def vitals(self) -> Vitals:
        knows_risk = len(self._risk_epochs) == self._risks
        placed = self._followers.caught_up
        return Vitals(
            ready=knows_risk and placed and self.refuses_unknown_keys,
            checks={
                "tcp_gateway": {
                    "ok": self.refuses_unknown_keys,
                    "detail": "an unknown key is refused"
                    if self.refuses_unknown_keys
                    else "not yet shown that an unknown key is refused",
                },
                "risk_link": {"ok": knows_risk, "detail": f"{len(self._risk_epochs)} heard"},
                "feed": {"ok": placed, "detail": "follows" if placed else "behind"},
            },
            counters={
                "rtes_orders_total": self._orders,
                "rtes_cancels_total": self._cancels,
                "rtes_busy_total": self._busy_count,
                "rtes_rejects_total": self._rejects,
                "rtes_reports_total": self._reports,
            },
            gauges={
                "rtes_sessions": len(self._sessions),
                "rtes_queue_depth": self._lanes.held,
            },
        )
