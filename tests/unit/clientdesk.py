"""An exchange's side of a session, in bytes, for tests of the participant's side: no sockets."""

from typing import Any

import msgspec
from rtes.client.session import Session
from rtes.common import messages as m
from rtes.common.enums import ExecType, OrdStatus, OrdType, Side
from rtes.common.refusals import Code

T0 = 1_700_000_000_000_000_000
S = 1_000_000_000
decode_one = msgspec.msgpack.Decoder(m.Inbound).decode
decode_batch = msgspec.msgpack.Decoder(list[m.Inbound]).decode


def sent(session: Session) -> list[Any]:
    """What the session wants to send, taken out of its outbox."""
    found: list[Any] = []
    while session.outbox:
        frame = session.outbox.popleft()
        try:
            found.append(decode_one(frame))
        except msgspec.DecodeError:
            found.extend(decode_batch(frame))
    return found


def reply(last: int = 0, last_id: int = 0, shard: int = 0, shards: int = 1) -> m.LogonReply:
    return m.LogonReply(shard, last, last_id, 30, 1, T0, shards)


def tell(session: Session, *messages: Any, now_ns: int = T0) -> list[Any]:
    """As the exchange: reports and logon replies come as batches."""
    return session.receive(m.encode(list(messages)), now_ns)


def alone(session: Session, message: Any, now_ns: int = T0) -> list[Any]:
    """As the gateway: a message of its own in a frame."""
    return session.receive(m.encode(message), now_ns)


def open_session(last: int = 0, last_id: int = 0) -> Session:
    session = Session("DEMO1")
    session.logon(T0)
    tell(session, reply(last, last_id))
    session.outbox.clear()
    return session


def order(cl_ord_id: int, qty: int = 10) -> m.NewOrderSingle:
    return m.NewOrderSingle(cl_ord_id, "AAPL", Side.BUY, qty, OrdType.LIMIT, 100)


def new(number: int, cl_ord_id: int, shard: int = 0, **changes: Any) -> m.ExecutionReport:
    fields: dict[str, Any] = {
        "appl_id": shard, "appl_seq_num": number, "exec_type": ExecType.NEW,
        "ord_status": OrdStatus.NEW, "cl_ord_id": cl_ord_id, "order_id": 1_000 + cl_ord_id,
        "exec_id": number, "symbol": "AAPL", "side": "1", "leaves_qty": 10, "cum_qty": 0,
        "transact_time": T0, "order_qty": 10, "price": 100,
    }  # fmt: skip
    return m.ExecutionReport(**(fields | changes))


def trade(number: int, cl_ord_id: int, qty: int, cum: int) -> m.ExecutionReport:
    status = OrdStatus.FILLED if cum == 10 else OrdStatus.PARTIALLY_FILLED
    return new(
        number, cl_ord_id, exec_type=ExecType.TRADE, ord_status=status, last_qty=qty,
        last_px=100, cum_qty=cum, leaves_qty=10 - cum, trd_match_id=number,
    )  # fmt: skip


def refused(tag: str, cl_ord_id: int, code: Code) -> m.BusinessMessageReject:
    return m.BusinessMessageReject(tag, cl_ord_id, code)
