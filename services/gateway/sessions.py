"""Sessions: which connection speaks for which account, and how much it may have in flight.

Invariants: a session belongs to one key and one account for its whole life; an account has at
most one open and one pending session, the newest; a routing id alone proves nothing, the key of
each frame does.
"""

from typing import Any, Final

from rtes.common.events import Events
from rtes.common.flags import FAIR_CREDIT, FeatureFlags
from rtes.common.messages import Logon
from rtes.common.records import CMD_LOGON, Command, home_shard
from rtes.common.refdata import Account
from rtes.services.gateway.lanes import Lane
from rtes.services.gateway.limits import FLOOD_PAUSE_NS, RESEND_NS

PENDING: Final = 0  # logged on, the matcher has not confirmed it yet
OPEN: Final = 1
CLOSED: Final = 2


class Session:
    """One connection that has logged on."""

    __slots__ = (
        "account",
        "account_id",
        "bucket",
        "bucket_ns",
        "fair",
        "heart_bt_ns",
        "in_flight",
        "lanes",
        "number",
        "over",
        "received_ns",
        "resent_ns",
        "routing_id",
        "sent_ns",
        "settings",
        "state",
        "tested",
        "throttled_ns",
        "turn",
        "user",
    )

    def __init__(
        self,
        number: int,
        routing_id: bytes,
        user: str,
        account: Account,
        lanes: list[Lane],
        now_ns: int,
    ) -> None:
        self.number = number
        self.lanes = lanes  # by matcher shard
        self.routing_id = routing_id
        self.user = user
        self.account = account
        self.account_id: Any = account.id  # only passed on
        self.state = PENDING
        self.in_flight = 0
        self.fair = False  # see common/flags.py: fair_credit
        self.bucket = 0.0
        self.bucket_ns = now_ns
        self.received_ns = now_ns
        self.sent_ns = now_ns
        self.heart_bt_ns = 0
        self.tested = False
        self.turn = 0  # its place among the account's sessions; 0: not confirmed yet
        self.settings = (0, 0)  # cancel_on_disconnect, heart_bt_int
        self.throttled_ns = 0  # when it was last over its rate
        self.over = 0  # messages beyond it without a pause
        self.resent_ns: dict[int, int] = {}  # matcher shard -> when it last asked for reports

    def heard(self, now_ns: int) -> None:
        self.received_ns = now_ns
        self.tested = False

    def ask_turn(self, message: Logon, gateway: int, wall_ns: int) -> None:
        """The home shard gives the logon its place among the account's, and answers it."""
        self.heart_bt_ns = message.heart_bt_int * 1_000_000_000
        self.settings = (int(message.cancel_on_disconnect), message.heart_bt_int)
        self._logon(home_shard(self.account.id, len(self.lanes)), gateway, wall_ns, turn=0)

    def take_turn(self, turn: int, gateway: int, wall_ns: int) -> None:
        """The home shard gave it: now all shards know."""
        self.turn = turn
        home = home_shard(self.account.id, len(self.lanes))
        for shard in range(len(self.lanes)):
            if shard != home:
                self._logon(shard, gateway, wall_ns, turn)

    def _logon(self, shard: int, gateway: int, wall_ns: int, turn: int) -> None:
        start = (CMD_LOGON, self.account.id, wall_ns, 0, gateway, self.number)
        self.lanes[shard].put((*start, *self.settings, turn, len(self.lanes)))

    def to_all_shards(self, command: Command) -> None:
        """For what concerns every matcher shard."""
        for lane in self.lanes:
            lane.put(command)

    def take_tokens(self, count: int, per_s: int, burst: int, now_ns: int) -> bool:
        """Token bucket that holds burst; False when count is more than is left."""
        refill = (now_ns - self.bucket_ns) * per_s / 1e9
        self.bucket = min(float(burst), self.bucket + max(0.0, refill))
        self.bucket_ns = now_ns
        if self.bucket < count:
            return False
        self.bucket -= count
        return True

    def tokens_after_ms(self, count: int, per_s: int) -> int:
        """When take_tokens would have count."""
        return int((count - self.bucket) * 1_000 / per_s) + 1

    def over_rate(self, count: int, now_ns: int) -> int:
        """It is over its rate by so many messages more; returns by how many without a pause."""
        if now_ns - self.throttled_ns >= FLOOD_PAUSE_NS:
            self.over = 0
        self.throttled_ns = now_ns
        self.over += count
        return self.over

    def may_resend(self, shard: int, now_ns: int) -> bool:
        """Whether it may ask for reports again; each time costs a read of the journal."""
        if now_ns - self.resent_ns.get(shard, now_ns - RESEND_NS) < RESEND_NS:
            return False
        self.resent_ns[shard] = now_ns
        return True

    def silence(self, now_ns: int) -> bool | None:
        """True: it has been silent for too long; False: time to ask whether it is there."""
        silent_ns = now_ns - self.received_ns
        if silent_ns > 2 * self.heart_bt_ns:
            return True
        if silent_ns > 1.2 * self.heart_bt_ns and not self.tested:
            self.tested = True
            return False
        return None


class Sessions:
    """All sessions of one gateway."""

    def __init__(self, first_number: int, flags: FeatureFlags) -> None:
        self._first_number = first_number
        self._flags = flags
        self.events = Events()
        self.by_routing_id: dict[bytes, Session] = {}
        self.by_account: dict[int, Session] = {}  # open
        self._by_number: dict[int, Session] = {}
        self._pending: dict[int, Session] = {}  # by account
        self._next_number = first_number

    def __len__(self) -> int:
        return len(self.by_routing_id)

    def had(self, number: int) -> bool:
        """Whether it is one of ours; lower numbers were those of the gateway before."""
        return number >= self._first_number

    def add(
        self, routing_id: bytes, user: str, account: Account, lanes: list[Lane], now_ns: int
    ) -> Session:
        session = Session(self._next_number, routing_id, user, account, lanes, now_ns)
        session.bucket = float("inf")  # the first refill clips it to one second's worth
        self._flag(session)
        self._next_number += 1
        self.by_routing_id[routing_id] = session
        self._by_number[session.number] = session
        self._pending[account.id] = session
        return session

    def apply_flags(self) -> None:
        """The flags have changed."""
        for session in self.by_routing_id.values():
            self._flag(session)

    def _flag(self, session: Session) -> None:
        account = session.account
        attributes = {"account": account.name, "role": str(account.role)}
        session.fair = self._flags.is_enabled(FAIR_CREDIT, account.name, attributes)

    def of_account(self, account: int) -> list[Session]:
        """The account's session that is open, and the one that the matcher has not confirmed."""
        both = self.by_account.get(account), self._pending.get(account)
        return [session for session in both if session is not None]

    def find(self, number: int) -> Session | None:
        return self._by_number.get(number)

    def open(self, session: Session) -> Session | None:
        """Make session its account's; returns the one it replaces."""
        replaced = self.by_account.get(session.account.id)
        if session.state != OPEN:
            self.events.info("session opened", **_named(session))
        session.state = OPEN
        self._settled(session)
        self.by_account[session.account.id] = session
        return replaced if replaced is not session else None

    def remove(self, session: Session, why: str) -> None:
        if session.state != CLOSED:
            self.events.info("session closed", **_named(session), why=why)
        session.state = CLOSED
        self._settled(session)
        self.by_routing_id.pop(session.routing_id, None)
        self._by_number.pop(session.number, None)
        if self.by_account.get(session.account.id) is session:
            del self.by_account[session.account.id]

    def _settled(self, session: Session) -> None:
        if self._pending.get(session.account.id) is session:
            del self._pending[session.account.id]


def _named(session: Session) -> dict[str, Any]:
    """For the log."""
    account = session.account
    return {
        "account": account.name,
        "account_id": account.id,
        "session": session.number,
        "key": session.user,
    }
