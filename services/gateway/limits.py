"""The gateway's limits, each with its unit and reason. Full is told at once, never waited out."""

from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

from rtes.common.config_schema import Session as SessionConfig
from rtes.common.messages import BATCH_MESSAGES_MAX
from rtes.common.refusals import Code
from rtes.services.gateway.routes import Route

RETRY_MS: Final = 10  # a lane or a session empties within a few batches
LOGON_RETRY_MS: Final = 1_000
FLOOD_S: Final = 5  # seconds' worth of messages over the rate without a pause: the key is banned
FLOOD_PAUSE_NS: Final = 1_000_000_000  # within the rate for that long begins anew
FAIR_ABOVE: Final = 0.5  # of a lane's window: from there on, sessions that are fair hold back
FAIR_SHARE: Final = 0.25  # of its credit: what such a session may then have unanswered
RESEND_NS: Final = 50_000_000  # between two ResendRequests to one shard: each reads the disk


class Full(NamedTuple):
    """Why nothing is taken now."""

    code: Code
    limit: int = 0
    value: int = 0
    retry_after_ms: int = 0


NOT_OPEN: Final = Full(Code.NOT_LOGGED_ON, 0, 0, RETRY_MS)
READ_ONLY: Final = Full(Code.READ_ONLY, 0, 0, 1_000)  # a disk is not emptied in milliseconds
STANDS_STILL: Final = Full(Code.BUSY, 0, 0, 500)  # see breaker.py


@dataclass
class GatewayLimits:
    """Every queue of the gateway has a number."""

    sessions_max: int  # connections logged on at once
    credit: int  # requests one session may have unanswered; twice that for cancels
    messages_per_s_max: int  # of one session
    lane_window: int = 16_384  # requests a lane may hold; beyond it clients are told BUSY
    orders_share: float = 0.9  # of the window; the rest is kept for cancels
    throttled_share: float = 0.1  # of messages_per_s_max, while the emergency throttles
    heart_bt_int_max: int = 300  # seconds: a session that is silent ends after two intervals

    def __post_init__(self) -> None:
        self.orders_window = ceil(self.lane_window * self.orders_share)
        self.throttled = False
        self._normal_per_s = self.messages_per_s_max

    @classmethod
    def of(cls, session: SessionConfig) -> "GatewayLimits":
        """As configured."""
        return cls(
            session.sessions_max,
            session.credit,
            session.messages_per_s_max,
            throttled_share=session.throttled_share,
            heart_bt_int_max=session.heart_bt_int_max,
        )

    def reload(self, session: SessionConfig) -> None:
        """Take the live ones of the configuration; they hold from the next message on."""
        self.credit = session.credit
        self.heart_bt_int_max = session.heart_bt_int_max
        self.throttled_share = session.throttled_share
        self._normal_per_s = session.messages_per_s_max
        self.throttle(self.throttled)

    def throttle(self, on: bool) -> None:
        """The emergency's first stage: every session gets a share of its rate."""
        self.throttled = on
        share = self.throttled_share if on else 1
        self.messages_per_s_max = max(1, int(self._normal_per_s * share))

    @property
    def burst(self) -> int:
        """Messages at once: a second's worth, but at least one whole batch."""
        return max(self.messages_per_s_max, BATCH_MESSAGES_MAX)

    def full(self, held: int, in_flight: int, route: Route, fair: bool = False) -> Full | None:
        """Whether a lane that holds so much, or a session with so much in flight, is full."""
        if held >= (self.lane_window if route.cancel else self.orders_window):
            return Full(Code.BUSY, self.lane_window, held, RETRY_MS)
        if in_flight >= (2 * self.credit if route.cancel else self.credit):
            return Full(Code.BUSY, self.credit, in_flight, RETRY_MS)
        if fair and not route.cancel and held >= self.lane_window * FAIR_ABOVE:
            share = max(1, int(self.credit * FAIR_SHARE))
            if in_flight >= share:
                return Full(Code.BUSY, share, in_flight, RETRY_MS)
        return None
