"""The participant protocol: every message that crosses the gateway, once.

A message is one flat positional msgpack array whose first element is the FIX MsgType. Trailing
fields that hold their default may be left out. Prices are integers in ticks, quantities integers
in lots, times integers in nanoseconds since the epoch (UTC). docs/protocol.md is generated from
these definitions (`python -m rtes.common.protocol_docs`).
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta
from rtes.common.enums import (
    CancelOnDisconnect,
    CxlRejResponseTo,
    ExecInst,
    ExecType,
    MassCancelType,
    OrdStatus,
    OrdType,
    PartyAction,
    Side,
    SmpInstruction,
    TimeInForce,
)
from rtes.common.fields import (
    U63,
    AnySymbol,
    ClOrdId,
    DisplayQty,
    ExpireTime,
    Message,
    MinQty,
    OrigClOrdId,
    PriceTicks,
    Qty,
    Request,
    ShortText,
    SmpId,
    StopPx,
    Symbol,
    TimeNs,
    field,
)
from rtes.common.flagwire import FeatureFlagReport, FeatureFlagRequest

PROTOCOL_VERSION: Final = 1
FRAME_BYTES_MAX: Final = 65_536  # a batch of several hundred orders; one order is under 128
BATCH_MESSAGES_MAX: Final = 256

# ---------------------------------------------------------------- participant to exchange


class Logon(Request, frozen=True, tag="A"):
    """Opens the session. The account is the one its CURVE key belongs to."""

    sender_comp_id: Annotated[
        str, Meta(min_length=1, max_length=32), field("account name; must match the key", 49)
    ]
    protocol_version: Annotated[int, Meta(ge=0, le=2**16), field("protocol version", 1128)] = (
        PROTOCOL_VERSION
    )
    heart_bt_int: Annotated[
        int,
        Meta(ge=1, le=300),
        field("silence after which either side sends Heartbeat", 108, "s"),
    ] = 30
    cancel_on_disconnect: Annotated[
        CancelOnDisconnect, field("what to cancel when the session is lost", 0)
    ] = CancelOnDisconnect.NOTHING


class Logout(Request, frozen=True, tag="5"):
    """Ends the session; answered by Logout."""

    text: Annotated[ShortText, field("why", 58)] = ""


class Heartbeat(Request, frozen=True, tag="0"):
    """Says that the sender is alive; echoes the TestRequest it answers."""

    test_req_id: Annotated[ShortText, field("echo of TestRequest", 112)] = ""


class TestRequest(Request, frozen=True, tag="1"):
    """Asks for a Heartbeat."""

    __test__ = False  # not a pytest class

    test_req_id: Annotated[ShortText, field("echoed by Heartbeat", 112)] = ""


class ResendRequest(Request, frozen=True, tag="2"):
    """Asks for reports again, from a number on; they come in order, then the live ones go on."""

    begin_seq_no: Annotated[int, Meta(ge=1, le=2**63 - 1), field("first number wanted", 7)]
    appl_id: Annotated[int, Meta(ge=0, le=2**15), field("matcher shard", 1180)] = 0


class NewOrderSingle(Request, frozen=True, tag="D"):
    """A new order."""

    cl_ord_id: ClOrdId
    symbol: Symbol
    side: Annotated[Side, field("buy or sell", 54)]
    order_qty: Qty
    ord_type: Annotated[OrdType, field("order type", 40)]
    price: PriceTicks = 0
    time_in_force: Annotated[TimeInForce, field("how long it stays", 59)] = TimeInForce.DAY
    stop_px: StopPx = 0
    exec_inst: Annotated[ExecInst, field("6 for post-only", 18)] = ExecInst.NONE
    display_qty: DisplayQty = 0
    min_qty: MinQty = 0
    expire_time: ExpireTime = 0
    self_match_prevention_id: SmpId = 0
    self_match_prevention_instruction: Annotated[
        SmpInstruction, field("what to do when they meet", 2964)
    ] = SmpInstruction.CANCEL_NEWEST


class OrderCancelRequest(Request, frozen=True, tag="F"):
    """Cancels what is left of an order."""

    cl_ord_id: ClOrdId
    symbol: Symbol
    orig_cl_ord_id: OrigClOrdId


class OrderCancelReplaceRequest(Request, frozen=True, tag="G"):
    """Changes price, quantity or stop price. Same price and a smaller quantity keep priority."""

    cl_ord_id: ClOrdId
    symbol: Symbol
    orig_cl_ord_id: OrigClOrdId
    order_qty: Qty
    price: PriceTicks = 0
    stop_px: StopPx = 0


class OrderMassCancelRequest(Request, frozen=True, tag="q"):
    """Cancels all open orders of the account, of one symbol, or of one side of either."""

    cl_ord_id: ClOrdId
    mass_cancel_request_type: Annotated[MassCancelType, field("scope", 530)]
    symbol: AnySymbol = ""
    side: Annotated[str, Meta(pattern="^[12]?$"), field("one side only; empty for both", 54)] = ""


class OrderStatusRequest(Request, frozen=True, tag="H"):
    """Asks for the state of one order; answered by an ExecutionReport OrderStatus."""

    cl_ord_id: ClOrdId
    symbol: Symbol
    orig_cl_ord_id: OrigClOrdId


class OrderMassStatusRequest(Request, frozen=True, tag="AF"):
    """Asks for all open orders; answered by one ExecutionReport OrderStatus each, then
    OrderMassStatusReport with their number."""

    cl_ord_id: ClOrdId
    symbol: AnySymbol = ""


class SecurityListRequest(Request, frozen=True, tag="x"):
    """Asks for the instruments; answered by one SecurityList each."""

    security_req_id: Annotated[ShortText, field("echoed", 320)] = ""


class RequestForPositions(Request, frozen=True, tag="AN"):
    """Asks for positions, limits and usage; operators may name another account."""

    pos_req_id: Annotated[ShortText, field("echoed", 710)] = ""
    account: Annotated[
        str, Meta(max_length=32), field("operators: another account; empty: own", 1)
    ] = ""


class PartyActionRequest(Request, frozen=True, tag="DH"):
    """Operators only: the kill switch. Suspends or reinstates an account, a session or a symbol;
    HALT_TRADING also cancels its open orders."""

    cl_ord_id: ClOrdId
    party_action_type: Annotated[PartyAction, field("what to do", 2329)]
    account: Annotated[str, Meta(max_length=32), field("account name, or empty", 1)] = ""
    symbol: AnySymbol = ""
    session: Annotated[
        int, Meta(ge=0, le=1), field("1: only the account's present session", 0)
    ] = 0


# ---------------------------------------------------------------- exchange to participant

class LogonReply(Message, frozen=True, tag="A"):
    """The session is open. One per matcher shard (appl_id)."""

    appl_id: Annotated[U63, field("matcher shard", 1180)]
    appl_last_seq_num: Annotated[
        U63, field("number of the account's last report so far", 1350)
    ]
    last_cl_ord_id: Annotated[U63, field("highest cl_ord_id seen of the account", 11)]
    heart_bt_int: Annotated[U63, field("as asked", 108, "s")]
    protocol_version: Annotated[U63, field("version served", 1128)]
    transact_time: Annotated[TimeNs, field("time of the logon", 60, "ns UTC")]
    no_appl_ids: Annotated[U63, field("matcher shards that answer, each for itself", 1351)]


class Reject(Message, frozen=True, tag="3"):
    """A frame or field could not be read. Nothing was done with it."""

    reject_code: Annotated[U63, field("code of the catalogue", 0)]
    ref_msg_type: Annotated[str, field("type of the message, when known", 372)]
    ref_field: Annotated[str, field("name of the field, when known", 371)]
    limit: Annotated[int, field("limit that tripped it", 0)] = 0
    value: Annotated[int, field("value that tripped it", 0)] = 0
    text: Annotated[str, field("what to do", 58)] = ""


class BusinessMessageReject(Message, frozen=True, tag="j"):
    """The gateway did not take the message. It was not executed and never will be under this
    cl_ord_id."""

    ref_msg_type: Annotated[str, field("type of the message", 372)]
    cl_ord_id: Annotated[U63, field("of the message; 0 when it has none", 11)]
    reject_code: Annotated[U63, field("code of the catalogue", 0)]
    limit: Annotated[int, field("limit that tripped it", 0)] = 0
    value: Annotated[int, field("value that tripped it", 0)] = 0
    retry_after_ms: Annotated[int, field("when to try again, 0: do not", 0, "ms")] = 0


class ExecutionReport(Message, frozen=True, tag="8"):
    """What happened to an order."""

    appl_id: Annotated[U63, field("matcher shard", 1180)]
    appl_seq_num: Annotated[
        U63, field("report number of the account, gapless per appl_id", 1181)
    ]
    exec_type: Annotated[ExecType, field("what happened", 150)]
    ord_status: Annotated[OrdStatus, field("state of the order now", 39)]
    cl_ord_id: Annotated[U63, field("order, by the participant's id", 11)]
    order_id: Annotated[U63, field("order, by the exchange's id; 0 for none", 37)]
    exec_id: Annotated[U63, field("never reused within appl_id", 17)]
    symbol: Annotated[str, field("instrument", 55)]
    side: Annotated[str, field("1 buy, 2 sell; empty when the order is unknown", 54)]
    leaves_qty: Annotated[U63, field("still open; 0 in a terminal report", 151, "lots")]
    cum_qty: Annotated[U63, field("filled so far", 14, "lots")]
    transact_time: Annotated[TimeNs, field("when, by the exchange's clock", 60, "ns UTC")]
    order_qty: Annotated[U63, field("total quantity", 38, "lots")] = 0
    price: Annotated[U63, field("limit price; 0 for none", 44, "ticks")] = 0
    last_qty: Annotated[U63, field("filled now", 32, "lots")] = 0
    last_px: Annotated[U63, field("at this price", 31, "ticks")] = 0
    trd_match_id: Annotated[U63, field("trade, the same on both sides", 880)] = 0
    last_liquidity_ind: Annotated[U63, field("1 added, 2 removed", 851)] = 0
    orig_cl_ord_id: Annotated[
        U63, field("of a replace or cancel: the id the order had before", 41)
    ] = 0
    exec_restatement_reason: Annotated[
        U63, field("why, when nobody asked for it", 378)
    ] = 0
    ord_rej_reason: Annotated[U63, field("FIX reason of a refusal", 103)] = 0
    reject_code: Annotated[U63, field("code of the catalogue", 0)] = 0
    limit: Annotated[int, field("limit that tripped it", 0)] = 0
    value: Annotated[int, field("value that tripped it", 0)] = 0
    ord_type: Annotated[str, field("only in OrderStatus reports", 40)] = ""
    time_in_force: Annotated[str, field("only in OrderStatus reports", 59)] = ""
    stop_px: Annotated[U63, field("only in OrderStatus reports", 99, "ticks")] = 0
    display_qty: Annotated[U63, field("only in OrderStatus reports", 1138, "lots")] = 0


class OrderCancelReject(Message, frozen=True, tag="9"):
    """A cancel or replace was refused; the order named is as it was."""

    appl_id: Annotated[U63, field("matcher shard", 1180)]
    appl_seq_num: Annotated[U63, field("report number of the account", 1181)]
    cl_ord_id: Annotated[U63, field("of the refused request", 11)]
    orig_cl_ord_id: Annotated[U63, field("order meant", 41)]
    order_id: Annotated[U63, field("exchange's id; 0 when unknown", 37)]
    ord_status: Annotated[OrdStatus, field("of the order; Rejected when unknown", 39)]
    cxl_rej_response_to: Annotated[CxlRejResponseTo, field("1 cancel, 2 replace", 434)]
    cxl_rej_reason: Annotated[U63, field("FIX reason", 102)]
    reject_code: Annotated[U63, field("code of the catalogue", 0)]
    limit: Annotated[int, field("limit that tripped it", 0)]
    value: Annotated[int, field("value that tripped it", 0)]
    transact_time: Annotated[TimeNs, field("when", 60, "ns UTC")]


class OrderMassCancelReport(Message, frozen=True, tag="r"):
    """A mass cancel was done; one ExecutionReport Canceled per order came before it."""

    appl_id: Annotated[U63, field("matcher shard", 1180)]
    appl_seq_num: Annotated[U63, field("report number of the account", 1181)]
    cl_ord_id: Annotated[U63, field("of the request", 11)]
    mass_cancel_request_type: Annotated[MassCancelType, field("scope", 530)]
    total_affected_orders: Annotated[U63, field("orders canceled", 533)]
    transact_time: Annotated[TimeNs, field("when", 60, "ns UTC")]


class OrderMassStatusReport(Message, frozen=True, tag="UM"):
    """Ends the answer to OrderMassStatusRequest."""

    appl_id: Annotated[U63, field("matcher shard", 1180)]
    appl_seq_num: Annotated[U63, field("report number of the account", 1181)]
    cl_ord_id: Annotated[U63, field("of the request", 11)]
    tot_num_reports: Annotated[U63, field("open orders reported", 911)]
    transact_time: Annotated[TimeNs, field("when", 60, "ns UTC")]


class PartyActionReport(Message, frozen=True, tag="DI"):
    """A kill switch was set or lifted."""

    appl_id: Annotated[U63, field("matcher shard", 1180)]
    appl_seq_num: Annotated[U63, field("report number of the account", 1181)]
    cl_ord_id: Annotated[U63, field("of the request", 11)]
    party_action_type: Annotated[PartyAction, field("what was done", 2329)]
    account: Annotated[str, field("to this account", 1)]
    symbol: Annotated[str, field("to this symbol", 55)]
    total_affected_orders: Annotated[U63, field("orders canceled", 533)]
    reject_code: Annotated[U63, field("0, or why it was not done", 0)]
    transact_time: Annotated[TimeNs, field("when", 60, "ns UTC")]


class SecurityList(Message, frozen=True, tag="y"):
    """One instrument."""

    security_req_id: Annotated[str, field("echo", 320)]
    tot_no_related_sym: Annotated[U63, field("how many there are", 393)]
    symbol: Annotated[str, field("instrument", 55)]
    appl_id: Annotated[U63, field("matcher shard that trades it", 1180)]
    tick_size: Annotated[str, field("one tick, decimal, in currency", 0)]
    lot_size: Annotated[str, field("one lot, decimal, in units", 0)]
    currency: Annotated[str, field("currency", 15)]
    min_price_increment: Annotated[U63, field("prices are multiples of", 969, "ticks")]
    round_lot: Annotated[U63, field("quantities are multiples of", 561, "lots")]
    min_trade_vol: Annotated[U63, field("least order_qty", 562, "lots")]
    max_trade_vol: Annotated[U63, field("largest order_qty", 1140, "lots")]
    trading_reference_price: Annotated[U63, field("reference price", 1150, "ticks")]
    market_data_endpoint: Annotated[
        str, field("where its market data is published; the next port answers requests", 0)
    ]


class PositionReport(Message, frozen=True, tag="AP"):
    """Position and exposure of an account in one symbol; empty symbol: the account's limits and
    usage over all symbols."""

    pos_req_id: Annotated[str, field("echo", 710)]
    total_num_pos_reports: Annotated[U63, field("how many there are", 727)]
    account: Annotated[str, field("account", 1)]
    symbol: Annotated[str, field("instrument, or empty for the account", 55)]
    net_qty: Annotated[int, field("position, negative is short", 704, "lots")]
    open_buy_qty: Annotated[U63, field("open to buy", 0, "lots")]
    open_sell_qty: Annotated[U63, field("open to sell", 0, "lots")]
    open_orders: Annotated[U63, field("open orders", 0)]
    open_orders_max: Annotated[U63, field("limit", 0)]
    position_max: Annotated[U63, field("limit, per symbol", 0, "lots")]
    credit_used: Annotated[int, field("reserved by orders and positions", 0, "ticks x lots")]
    credit_max: Annotated[U63, field("limit", 0, "ticks x lots")]
    suspended: Annotated[U63, field("1 when the kill switch is set", 0)]


class SequenceReset(Message, frozen=True, tag="4"):
    """Of the reports that were asked for, those before new_seq_no are not kept any more: go on
    from there. What became of open orders meanwhile is told by OrderMassStatusRequest."""

    appl_id: Annotated[U63, field("matcher shard", 1180)]
    new_seq_no: Annotated[U63, field("first report kept; 0: none is", 36)]


class GoAway(Message, frozen=True, tag="UG"):
    """The gateway is about to stop: log on again at the endpoint before the deadline."""

    endpoint: Annotated[str, field("where to; empty: the same", 0)]
    deadline_ms: Annotated[U63, field("time left", 0, "ms")]


# ---------------------------------------------------------------- codecs

Inbound = (
    Logon | Logout | Heartbeat | TestRequest | ResendRequest | NewOrderSingle
    | OrderCancelRequest | OrderCancelReplaceRequest | OrderMassCancelRequest
    | OrderStatusRequest | OrderMassStatusRequest | SecurityListRequest
    | RequestForPositions | PartyActionRequest | FeatureFlagRequest
)  # fmt: skip
Outbound = (
    LogonReply | Logout | Heartbeat | TestRequest | Reject | BusinessMessageReject
    | ExecutionReport | OrderCancelReject | OrderMassCancelReport | OrderMassStatusReport
    | PartyActionReport | FeatureFlagReport | SecurityList | PositionReport | SequenceReset | GoAway
)  # fmt: skip
SEQUENCED: Final = ("8", "9", "r", "UM", "DI", "UR")  # types that carry appl_seq_num

encode = msgspec.msgpack.Encoder().encode
