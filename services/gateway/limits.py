"""The gateway's limits, each with its unit and reason."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GatewayLimits:
    """Every queue of the gateway has a number."""

    sessions_max: int  # connections logged on at once
    credit: int  # requests one session may have unanswered; twice that for cancels
    messages_per_s_max: int  # of one session
    lane_window: int = 16_384  # requests a lane may hold; beyond it clients are told BUSY
    orders_share: float = 0.9  # of the window; the rest is kept for cancels
