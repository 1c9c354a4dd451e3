"""What participants ask besides orders: the gateway's own answers, and questions to risk."""

from collections.abc import Mapping

from rtes.common import feed, link
from rtes.common.messages import (
    BusinessMessageReject,
    RequestForPositions,
    ResendRequest,
)
from rtes.common.records import encode
from rtes.common.refdata import Account
from rtes.common.refusals import Code
from rtes.common.riskwire import QUERY
from rtes.services.gateway.admission import refuse
from rtes.services.gateway.sessions import Session


def may_ask_about(asking: Account, account: Account) -> bool:
    """Operators may name another account."""
    return asking.role == "operator" or asking.name == account.name


def number_of(account: Account | None) -> int:
    """0: there is none."""
    return 0 if account is None else account.id


def history(
    session: Session, message: ResendRequest, shards: int, told: Mapping[int, int], now_ns: int
) -> bytes | BusinessMessageReject:
    """Asks the archive of a matcher shard for the account's reports up to what it was told."""
    shard = message.appl_id
    if shard >= shards:
        return refuse(message, Code.UNKNOWN_APPL_ID, shards, shard)
    if not session.may_resend(shard, now_ns):
        return refuse(message, Code.BUSY, 1, 1, 50)
    account, begin = session.account.id, message.begin_seq_no
    return feed.history_request(shard, account, begin, session.number, told.get(shard, 0))


def positions(
    gateway: int,
    session: Session,
    message: RequestForPositions,
    account: Account | None,
    told: Mapping[int, int],
) -> bytes | BusinessMessageReject:
    """Asks risk for an account's usage; the answer is for this session, and of no less than it
    was told: up to these sequence numbers, by matcher shard."""
    if account is None or not may_ask_about(session.account, account):
        return refuse(message, Code.NOT_AUTHORIZED)
    stamp = link.HEADER.pack(QUERY, gateway, 0, 0)
    return stamp + encode((session.number, account.id, message.pos_req_id, list(told.items())))
