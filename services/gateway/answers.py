"""What participants ask besides orders: the gateway's own answers, and questions to risk."""

from rtes.common import link
from rtes.common.messages import SecurityList
from rtes.common.records import encode
from rtes.common.refdata import Account, Instrument
from rtes.common.riskwire import QUERY


def may_ask_about(asking: Account, account: Account) -> bool:
    """Operators may name another account."""
    return asking.role == "operator" or asking.name == account.name


def number_of(account: Account | None) -> int:
    """0: there is none."""
    return 0 if account is None else account.id


def positions_query(gateway: int, session: int, account: int, request_id: str) -> bytes:
    """Asks risk for an account's usage; the answer is for the session of that number."""
    stamp = link.HEADER.pack(QUERY, gateway, 0, 0)
    return stamp + encode((session, account, request_id))


def security_list(request_id: str, instruments: list[Instrument]) -> list[SecurityList]:
    """One row per instrument."""
    return [
        SecurityList(
            request_id,
            len(instruments),
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
        for i in instruments
    ]
