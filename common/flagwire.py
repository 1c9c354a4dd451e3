"""The two messages about flags of the matching engine; a part of rtes.common.messages."""

from typing import Annotated

from msgspec import Meta
from rtes.common.enums import FlagAction
from rtes.common.fields import U63, AnySymbol, ClOrdId, Message, Request, TimeNs, field


class FeatureFlagRequest(Request, frozen=True, tag="UF"):
    """Operators only: turns a flag of the matching engine on or off for a symbol, or for all, or
    asks where it is on."""

    cl_ord_id: ClOrdId
    flag: Annotated[str, Meta(min_length=1, max_length=63), field("the flag's name", 0)]
    action: Annotated[FlagAction, field("what to do", 0)]
    symbol: AnySymbol = ""


class FeatureFlagReport(Message, frozen=True, tag="UR"):
    """Where a flag of the matching engine is on from here on."""

    appl_id: Annotated[U63, field("matcher shard", 1180)]
    appl_seq_num: Annotated[U63, field("report number of the account", 1181)]
    cl_ord_id: Annotated[U63, field("of the request", 11)]
    flag: Annotated[str, field("the flag's name", 0)]
    symbols: Annotated[str, field("of this shard, where it is on; with commas between", 0)]
    reject_code: Annotated[U63, field("0, or why nothing was done", 0)]
    transact_time: Annotated[TimeNs, field("when", 60, "ns UTC")]
