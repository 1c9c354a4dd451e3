"""Sessions: which connection speaks for which account, and how much it may have in flight.

Invariants: a session belongs to one key and one account for its whole life; an account has at
most one open session, the newest; a routing id alone proves nothing, the key of each frame does.
"""

from typing import Final

from rtes.common.records import Command
from rtes.common.refdata import Account
from rtes.services.gateway.lanes import Lane

PENDING: Final = 0  # logged on, the matcher has not confirmed it yet
OPEN: Final = 1


class Session:
    """One connection that has logged on."""

    __slots__ = (
        "account",
        "bucket",
        "bucket_ns",
        "heart_bt_ns",
        "in_flight",
        "lanes",
        "number",
        "received_ns",
        "routing_id",
        "sent_ns",
        "settings",
        "state",
        "tested",
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
        self.state = PENDING
        self.in_flight = 0
        self.bucket = 0.0
        self.bucket_ns = now_ns
        self.received_ns = now_ns
        self.sent_ns = now_ns
        self.heart_bt_ns = 0
        self.tested = False
        self.turn = 0  # its place among the account's sessions; 0: not confirmed yet
        self.settings = (0, 0)  # cancel_on_disconnect, heart_bt_int

    def to_all_shards(self, command: Command) -> None:
        """For what concerns every matcher shard."""
        for lane in self.lanes:
            lane.batch.append(command)

    def take_tokens(self, count: int, per_s: int, now_ns: int) -> bool:
        """Token bucket of one second's worth; False when count is more than is left."""
        refill = (now_ns - self.bucket_ns) * per_s / 1e9
        self.bucket = min(float(per_s), self.bucket + max(0.0, refill))
        self.bucket_ns = now_ns
        if self.bucket < count:
            return False
        self.bucket -= count
        return True


class Sessions:
    """All sessions of one gateway."""

    def __init__(self, first_number: int) -> None:
        self.by_routing_id: dict[bytes, Session] = {}
        self.by_account: dict[int, Session] = {}  # open, or pending when none is open
        self._by_number: dict[int, Session] = {}
        self._next_number = first_number

    def __len__(self) -> int:
        return len(self.by_routing_id)

    def add(
        self, routing_id: bytes, user: str, account: Account, lanes: list[Lane], now_ns: int
    ) -> Session:
        session = Session(self._next_number, routing_id, user, account, lanes, now_ns)
        session.bucket = float("inf")  # the first refill clips it to one second's worth
        self._next_number += 1
        self.by_routing_id[routing_id] = session
        self._by_number[session.number] = session
        return session

    def find(self, number: int) -> Session | None:
        return self._by_number.get(number)

    def open(self, session: Session) -> Session | None:
        """Make session its account's; returns the one it replaces."""
        replaced = self.by_account.get(session.account.id)
        session.state = OPEN
        self.by_account[session.account.id] = session
        return replaced if replaced is not session else None

    def remove(self, session: Session) -> None:
        self.by_routing_id.pop(session.routing_id, None)
        self._by_number.pop(session.number, None)
        if self.by_account.get(session.account.id) is session:
            del self.by_account[session.account.id]
