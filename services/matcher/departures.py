"""Sessions that end: which orders go with them, and whose gateway ended without a word."""

from collections.abc import Mapping
from typing import Any, Final

from rtes.common.records import NOTICE_ORPHAN, Command
from rtes.services.matcher.expiry import GTD
from rtes.services.matcher.orders import Order, Participant

GTC: Final = "1"
COD_NOTHING: Final = 0
COD_EVERYTHING: Final = 2


def canceled_on_disconnect(p: Participant) -> list[Order]:
    """The open orders that its session asked to cancel when it ends, as they came."""
    if p.cancel_on_disconnect == COD_NOTHING:
        return []
    everything = p.cancel_on_disconnect == COD_EVERYTHING
    return [o for o in p.orders.values() if everything or o.time_in_force not in (GTC, GTD)]


def predecessor_ended(
    participants: Mapping[int, Participant], command: Command
) -> list[tuple[Any, ...]]:
    """A gateway has started: notices of the sessions that the one before it left behind, by
    account. After a planned stop there are none: its sessions are over, their orders stay."""
    gateway, risk_shard, risk_shards, planned = command[4:8]
    notices = []
    for account in sorted(participants):  # a restored engine has them in another order
        p = participants[account]
        if p.gateway != gateway or account % risk_shards != risk_shard:
            continue
        if planned:
            p.gateway = -1
        elif p.cancel_on_disconnect != COD_NOTHING:
            notices.append((NOTICE_ORPHAN, account, gateway, p.turn, p.cancel_on_disconnect))
    return notices
