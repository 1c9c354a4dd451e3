"""The gateway: sessions in front, lanes to risk behind, reports from the feed on the way back.

Invariants: a message is taken only from the key that logged on; what is taken stays in its lane
until the matcher's feed acknowledges it, whatever dies in between; a report reaches a
participant exactly as the matcher journaled it. A full lane or a full session is told BUSY at
once; cancels keep a reserve of both. Whatever is sent, memory stays bounded.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from rtes.common import feed, listing
from rtes.common import messages as m
from rtes.common.checks import Check
from rtes.common.flags import FeatureFlags
from rtes.common.loop import Vitals
from rtes.common.records import NOTICE_LOGON, NOTICE_ORPHAN, Block, decode, encode, home_shard
from rtes.common.refdata import Account, Instrument
from rtes.common.refusals import Code, explain
from rtes.common.riskwire import TOPIC_ANSWER
from rtes.services.gateway import admission, answers
from rtes.services.gateway.door import Door
from rtes.services.gateway.lanes import Lanes, fullest
from rtes.services.gateway.limits import (
    FLOOD_S,
    NOT_OPEN,
    READ_ONLY,
    STANDS_STILL,
    Full,
    GatewayLimits,
)  # fmt: skip
from rtes.services.gateway.orphans import Orphans
from rtes.services.gateway.outbox import CLIENTS, Outbox
from rtes.services.gateway.routes import ROUTES, Route, command_of
from rtes.services.gateway.sessions import CLOSED, OPEN, Session, Sessions
from rtes.services.gateway.vitals import Condition, Counts, health_checks, vitals

__all__ = ["ARCHIVE", "CLIENTS", "FEED", "RISK", "RISK_STATUS", "GatewayCore"]

FEED: Final = 2  # channel: blocks and status of all matchers
RISK_STATUS: Final = 3  # channel: what risk expects, answers to queries
RISK: Final = 10  # channel of risk shard 0
ARCHIVE: Final = 50  # channel of the archive of shard 0


class GatewayCore(Outbox):
    """One gateway. account_of(key) is the account a CURVE public key belongs to, or None."""

    def __init__(
        self,
        gateway: int,
        epoch: int,
        instruments: list[Instrument],
        find_account: Callable[[str], Account | None],
        account_of: Callable[[str, str], Account | None],
        limits: GatewayLimits,
        risk_shards: int = 1,
        matcher_shards: int = 1,
        flags: FeatureFlags | None = None,
    ) -> None:
        super().__init__()
        self.refuses_unknown_keys = False  # set by the start-up self-test
        self.market_data = [""] * matcher_shards  # where each shard's is published; set at start
        self._gateway = gateway
        self._instruments = instruments
        self._shard_of = {i.symbol: i.shard for i in instruments}
        self._find_account = find_account
        self._account_of = account_of
        self._limits = limits
        self._risks = risk_shards
        self._matchers = range(matcher_shards)
        self._flags = flags or FeatureFlags()
        self._sessions = Sessions(epoch << 16 & (1 << 62) - 1, self._flags)
        self.flags_changed = self._sessions.apply_flags  # for sessions that are open, too
        self._lanes = Lanes(gateway, epoch, risk_shards, matcher_shards)
        self._orphans = Orphans(gateway, self._lanes, matcher_shards)
        self._followers = feed.Followers(self._matchers, from_head=True)
        self._door = Door(limits)
        self._throttled: dict[bytes, list[m.Outbound]] = {}  # told in one frame after the batch
        self._risk_epochs: dict[int, int] = {}
        self._read_only: dict[int, bool] = {}  # by matcher shard
        self._wall_ns: Any = 0  # business time, stamped on commands; now_ns is for what waits
        self._counts = Counts()

    def take_over(self, planned: bool, wall_ns: int) -> None:
        """At the start: the sessions of the one before have ended, planned or by its death."""
        self._orphans.ask(planned, wall_ns)

    def receive(self, channel: int, frames: list[Any], now_ns: int, wall_ns: int) -> None:
        self._wall_ns = wall_ns
        self._lanes.now_ns = now_ns
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

    def _client(self, routing_id: bytes, user: str, frame: bytes | None, now_ns: int) -> None:
        session = self._sessions.by_routing_id.get(routing_id)
        if frame is None:  # the connection is gone
            if session is not None:
                self.close(session, "the connection is gone")
            return
        messages, rejects = admission.read(frame)
        key = user or routing_id
        turned = self._door.turn_away(key, messages, rejects, now_ns)
        if turned is not None:
            self._tell_all(routing_id, turned.told)
            if turned.hang_up:
                self._drop(session, routing_id, turned.why, told=bool(turned.told))
        elif session is None:
            self._stranger(routing_id, user, messages, rejects, now_ns)
        elif session.user != user:
            self._hang_up(session, m.Logout("another key opened this session"), now_ns)
        else:
            self._participant(session, messages, rejects, now_ns)

    def _stranger(
        self,
        routing_id: bytes,
        user: str,
        messages: list[m.Inbound],
        rejects: list[m.Reject],
        now_ns: int,
    ) -> None:
        """No session: only Logon opens one, and only for the account of the key."""
        at = next((i for i, x in enumerate(messages) if type(x) is m.Logon), len(messages))
        told = self._door.strangers(user or routing_id, messages[:at], rejects, now_ns)
        self._tell_all(routing_id, told)
        if at < len(messages):
            session = self._logon_request(routing_id, user, messages[at], now_ns)
            if session is not None:
                self._take(session, messages[at + 1 :], now_ns)

    def _participant(
        self, session: Session, messages: list[m.Inbound], rejects: list[m.Reject], now_ns: int
    ) -> None:
        session.heard(now_ns)
        limits, count = self._limits, len(messages) + len(rejects) or 1
        if session.take_tokens(count, limits.messages_per_s_max, limits.burst, now_ns):
            self._tell_all(session.routing_id, rejects)
            self._take(session, messages, now_ns)
        else:
            self._throttle(session, messages, rejects, now_ns)

    def _take(self, session: Session, messages: Sequence[m.Inbound], now_ns: int) -> None:
        refusals = []
        for message in messages:
            if (route := ROUTES.get(type(message))) is None:
                self._other(session, message, now_ns)
            elif (refusal := self._order(session, message, route)) is not None:
                refusals.append(refusal)
        self._tell_all(session.routing_id, refusals)

    def _throttle(
        self, session: Session, messages: list[m.Inbound], rejects: list[m.Reject], now_ns: int
    ) -> None:
        """Over the session's rate: nothing is taken but cancels; for too long: it is closed."""
        limit = self._limits.messages_per_s_max
        count = len(messages) + len(rejects)
        after_ms = session.tokens_after_ms(count, limit)
        refusals = self._throttled.setdefault(session.routing_id, [])
        refusals += rejects
        refusal: m.BusinessMessageReject | None
        for message in messages:
            route = ROUTES.get(type(message))
            if route is not None and route.cancel:
                refusal = self._order(session, message, route)
            else:
                refusal = admission.refuse(message, Code.THROTTLED, limit, count, after_ms)
            refusals += [refusal] if refusal is not None else []
        if not self._limits.throttled and session.over_rate(count, now_ns) >= FLOOD_S * limit:
            why = f"{FLOOD_S} s' worth of messages over the limit"
            text = self._door.ban(session.user or session.routing_id, why, now_ns)
            self._hang_up(session, m.Logout(text), now_ns)

    def _logon_request(
        self, routing_id: bytes, user: str, message: Any, now_ns: int
    ) -> Session | None:
        """Open a session, or say why not."""
        account = self._account_of(user, message.sender_comp_id)
        lanes = self._lanes.of_account(account.id) if account is not None else []
        full = self._door.refusal(message, account, fullest(lanes), len(self._sessions))
        if account is None or full is not None:
            self._tell(routing_id, self._door.refuse(message, user, full or NOT_OPEN))
            return None
        for older in self._sessions.of_account(account.id):  # at once: nothing of them comes after
            self._replace(older, now_ns)
        session = self._sessions.add(routing_id, user, account, lanes, now_ns)
        session.ask_turn(message, self._gateway, self._wall_ns)
        return session

    def _order(
        self, session: Session, message: Any, route: Route
    ) -> m.BusinessMessageReject | None:
        """The path of every message that the matcher sequences; returns why it is not taken."""
        shard = 0 if route.to_all else self._shard_of.get(message.symbol, 0)
        lane = session.lanes[shard]
        if session.state != OPEN:  # not confirmed yet, or closed by a message before this one
            full: Full | None = NOT_OPEN
        elif route.opens and self._read_only.get(shard):
            full = READ_ONLY
        else:
            held = fullest(session.lanes) if route.to_all else lane.held
            full = self._limits.full(held, session.in_flight, route, session.fair)
            if full is None and route.opens and not lane.flows and not lane.breaker.admits():
                full = STANDS_STILL
        if full is not None:
            self._counts.refused(full)
            return admission.refuse(message, *full)
        if route.cancel:
            self._counts.cancels += 1
        else:
            self._counts.orders += 1
        received_ns = self._wall_ns if route.to_all else lane.stamp(self._wall_ns)
        command = command_of(route, session.account_id, received_ns, message)
        if route.names_account:  # by number too, so that a replay needs no list of names
            command = (*command, answers.number_of(self._find_account(message.account)))
        if route.to_all:
            session.to_all_shards(command)
        else:
            lane.put(command)
        session.in_flight += 1
        return None

    def _other(self, session: Session, message: m.Inbound, now_ns: int) -> None:
        """Everything but orders and cancels."""
        match message:
            case m.TestRequest():
                self._tell_session(session, m.Heartbeat(message.test_req_id), now_ns)
            case m.ResendRequest():
                self._history(session, message, now_ns)
            case m.SecurityListRequest(security_req_id=asked):
                rows = listing.security_list(self._instruments, self.market_data, asked)
                session.sent_ns = now_ns
                self._tell_all(session.routing_id, rows)
            case m.RequestForPositions():
                self._positions(session, message)
            case m.Logout():
                self._tell_session(session, m.Logout("goodbye"), now_ns)
                self.close(session, "logged out")
            case m.Logon() if session.state != CLOSED:  # the answer was lost: it comes again
                full = self._door.unfit(message, fullest(session.lanes))
                if full is None:
                    session.ask_turn(message, self._gateway, self._wall_ns)
                else:
                    self._tell(session.routing_id, admission.refuse(message, *full))

    def _history(self, session: Session, message: m.ResendRequest, now_ns: int) -> None:
        shards, told = len(self._matchers), self._followers.applied
        query = answers.history(session, message, shards, told, now_ns)
        self._ask(session, ARCHIVE + message.appl_id, query)

    def _positions(self, session: Session, message: m.RequestForPositions) -> None:
        account = self._find_account(message.account) if message.account else session.account
        told = self._followers.applied
        query = answers.positions(self._gateway, session, message, account, told)
        self._ask(session, RISK + answers.number_of(account) % self._risks, query)

    def _feed(self, frame: bytes, now_ns: int) -> None:
        blocks, status = self._followers.take(frame)
        for block in blocks:
            self._block(block, now_ns)
        if status is not None:
            self._read_only[status.shard] = status.read_only

    def _block(self, block: Block, now_ns: int) -> None:
        """Acknowledge our lanes, follow logons, hand each account its reports."""
        self._lanes.ack(block.acks)
        shards = len(self._matchers)
        for notice in block.notices:
            if block.shard != home_shard(notice[1], shards):
                continue
            if notice[0] == NOTICE_LOGON:
                self._logon(notice, now_ns)
            elif notice[0] == NOTICE_ORPHAN:
                self._orphans.add(notice, now_ns)
        by_account = self._sessions.by_account
        for account, _first, reports, answered, data, _moves in block.chunks:
            session = by_account.get(account)
            if session is not None:
                session.in_flight = max(0, session.in_flight - answered)
                session.sent_ns = now_ns
                self._counts.reports += reports
                self.outbox.append((CLIENTS, session.routing_id, data))

    def _logon(self, notice: Any, now_ns: int) -> None:
        """The home shard sequenced a logon: the newest session of an account wins everywhere."""
        _, account, gateway, number, turn = notice
        self._orphans.returned(account)
        session = self._sessions.find(number) if gateway == self._gateway else None
        present = self._sessions.by_account.get(account)
        if session is not None:
            present = self._sessions.open(session)
            session.take_turn(turn, self._gateway, self._wall_ns)
        elif gateway == self._gateway and self._sessions.had(number):  # closed unconfirmed
            self._lanes.disconnect(account, turn, self._wall_ns)
        if present is not None and present is not session:
            self._replace(present, now_ns)

    def _replace(self, session: Session, now_ns: int) -> None:
        self._tell_session(session, m.Logout(explain(Code.REPLACED_SESSION, 0, 0)), now_ns)
        self._sessions.remove(session, "replaced by a newer one")

    def _risk(self, frame: bytes, now_ns: int) -> None:
        if frame[:1] == TOPIC_ANSWER:
            number, rows = decode(frame[3:])
            if (session := self._sessions.find(number)) is not None:
                self.outbox.append((CLIENTS, session.routing_id, encode(rows)))
            return
        shard, epoch, entries = decode(frame[1:])
        self._risk_epochs[shard] = epoch
        self._to_risk(self._lanes.status(shard, epoch, entries, now_ns))

    def _to_risk(self, frames: Iterable[tuple[int, bytes]]) -> None:
        for shard, frame in frames:
            self.outbox.append((RISK + shard, None, frame))

    def _archive(self, frame: bytes, now_ns: int) -> None:
        """A replayed block, or a piece of an account's history."""
        if frame[:1] in (feed.TOPIC_BLOCK, feed.TOPIC_END, feed.TOPIC_GONE):
            self._feed(frame, now_ns)
            return
        _shard, account, number, data = decode(frame)
        if (session := self._sessions.find(number)) and session.account.id == account:
            self.outbox.append((CLIENTS, session.routing_id, data))

    def flush(self, now_ns: int, wall_ns: int) -> None:
        self._wall_ns = wall_ns
        while self._throttled:
            self._tell_all(*self._throttled.popitem())
        self._to_risk(self._lanes.flush(self._followers.applied_in, now_ns))
        for shard, seq in self._followers.requests(now_ns):
            self.outbox.append((ARCHIVE + shard, None, feed.replay_request(shard, seq)))

    def tick(self, now_ns: int) -> None:
        """Heartbeats out; silence, revoked keys and lanes that stand still noticed."""
        self._lanes.step(now_ns)
        self._orphans.tick(now_ns, self._wall_ns)
        for session in list(self._sessions.by_routing_id.values()):
            silence = session.silence(now_ns)
            if self._account_of(session.user, session.account.name) is None:
                self._hang_up(session, m.Logout("this key was revoked"), now_ns)
            elif silence:
                self._hang_up(session, m.Logout("nothing heard for two intervals"), now_ns)
            elif silence is False:
                self._tell_session(session, m.TestRequest("alive"), now_ns)
            elif session.state == OPEN and now_ns - session.sent_ns >= session.heart_bt_ns:
                self._tell_session(session, m.Heartbeat(), now_ns)
        self._door.tick(now_ns)

    def undelivered(self, _channel: int, routing_id: bytes) -> None:
        """The client is gone or does not read: it finds everything on its return."""
        if (session := self._sessions.by_routing_id.get(routing_id)) is not None:
            self._drop(session, routing_id, "it is gone or does not read", told=False)

    def _hang_up(self, session: Session, last_word: m.Logout, now_ns: int) -> None:
        self._tell_session(session, last_word, now_ns)
        self._drop(session, session.routing_id, last_word.text, told=True)

    def _drop(self, session: Session | None, routing_id: bytes, why: str, told: bool) -> None:
        """End a connection, and its session if it has one."""
        if session is not None:
            self.close(session, why)
        self._end_connection(routing_id, told)

    def close(self, session: Session, why: str) -> None:
        """End a session and let the matcher cancel what it was asked to."""
        self._sessions.remove(session, why)
        if session.turn:
            self._lanes.disconnect(session.account.id, session.turn, self._wall_ns)

    def goodbye(self, now_ns: int) -> None:
        """The gateway stops: sessions move, their orders stay."""
        for session in self._sessions.by_routing_id.values():
            self._tell_session(session, m.GoAway("", 1_000), now_ns)

    def _condition(self) -> Condition:
        known, risks = self.refuses_unknown_keys, len(self._risk_epochs)
        follows, share = self._followers.caught_up, self._lanes.held / self._limits.lane_window
        return Condition(known, risks, self._risks, follows, self._read_only, share)

    def health_checks(self) -> list[Check]:
        return health_checks(self._condition)

    def vitals(self) -> Vitals:
        counts = (self._counts, self._door, self._flags)
        counters = {name: n for x in counts for name, n in x.counters().items()}
        events = [e for x in (self._sessions, self._door, self._followers) for e in x.events.take()]
        throttled = self._limits.throttled
        gauges = {"rtes_sessions": len(self._sessions), "rtes_throttled": float(throttled)}
        return vitals(self._condition(), counters, gauges, self._lanes, events)
