"""What can be traded, as participants are told it."""

from collections.abc import Sequence

from rtes.common.messages import SecurityList
from rtes.common.refdata import Instrument


def security_list(
    instruments: Sequence[Instrument], market_data: Sequence[str], request_id: str = ""
) -> list[SecurityList]:
    """One row per instrument. market_data: where each matcher shard's is published."""
    return [
        SecurityList(
            security_req_id=request_id,
            tot_no_related_sym=len(instruments),
            symbol=i.symbol,
            appl_id=i.shard,
            tick_size=i.tick_size,
            lot_size=i.lot_size,
            currency=i.currency,
            min_price_increment=i.min_price_increment,
            round_lot=i.round_lot,
            min_trade_vol=i.min_trade_vol,
            max_trade_vol=i.max_trade_vol,
            trading_reference_price=i.reference_price,
            market_data_endpoint=market_data[i.shard],
        )
        for i in instruments
    ]
