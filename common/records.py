"""What the services tell each other: commands, groups, blocks. All are plain msgpack arrays.

Command (gateway to risk to matcher), one tuple per request:
    (msg_type, account, received_ns, cl_ord_id, *rest of the message's fields in wire order)
Verdict (risk's, one per refused command; an approved command has none):
    (index in the group, reject_code, limit, value)
Group (commands of one gateway frame, in order, after risk):
    (gateway, gateway_epoch, gateway_link, gateway_n, [command], [verdict])
Chunk (what one account is told by one block):
    (account, first_appl_seq_num, reports, answered, bytes)   bytes = msgpack array of reports,
    exactly as the participant receives them. reports is 0 when they repeat earlier ones.
Block (one journal write, one feed frame):
    (shard, epoch, first_seq, commands, time_ns, [group], [chunk], [notice])
    command i has seq first_seq + i and time time_ns + i.
Notice (state that others than the account follow):
    (NOTICE_LOGON, account, gateway, session) | (NOTICE_PARTY, action, account, symbol, session)
"""

from typing import Any, Final, NamedTuple

import msgspec

# positions in a command tuple
C_TYPE: Final = 0
C_ACCOUNT: Final = 1
C_RECEIVED_NS: Final = 2
C_CL_ORD_ID: Final = 3
C_SYMBOL: Final = 4  # D F G H
# NewOrderSingle
D_SIDE: Final = 5
D_ORDER_QTY: Final = 6
D_ORD_TYPE: Final = 7
D_PRICE: Final = 8
D_TIME_IN_FORCE: Final = 9
D_STOP_PX: Final = 10
D_EXEC_INST: Final = 11
D_DISPLAY_QTY: Final = 12
D_MIN_QTY: Final = 13
D_EXPIRE_TIME: Final = 14
D_SMP_ID: Final = 15
D_SMP_INSTRUCTION: Final = 16
# F, G and H
F_ORIG_CL_ORD_ID: Final = 5
G_ORDER_QTY: Final = 6
G_PRICE: Final = 7
G_STOP_PX: Final = 8

# commands that no participant sends; cl_ord_id is 0 in them
CMD_LOGON: Final = "A"  # (type, account, received_ns, 0, gateway, session, cancel_on_disconnect,
#                          heart_bt_int)
CMD_DISCONNECT: Final = "XD"  # (type, account, received_ns, 0, gateway, session)
CMD_EXPIRE: Final = "XE"  # (type, 0, now_ns, 0): the matcher's own clock, journaled

NOTICE_LOGON: Final = "A"
NOTICE_PARTY: Final = "DH"

Command = tuple[Any, ...]
Report = tuple[Any, ...]


class Block(NamedTuple):
    """See the module's docstring; a block decodes straight into this."""

    shard: int
    epoch: int
    first_seq: int
    commands: int
    time_ns: int
    groups: list[Any]
    chunks: list[Any]
    notices: list[Any]


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode = msgspec.msgpack.Decoder().decode
_block_decoder = msgspec.msgpack.Decoder(
    tuple[int, int, int, int, int, list[Any], list[Any], list[Any]]
)
_reports_decoder = msgspec.msgpack.Decoder(list[tuple[Any, ...]])


def decode_block(data: bytes) -> Block:
    """Raises msgspec.DecodeError when data is not a block."""
    return Block(*_block_decoder.decode(data))


def decode_reports(data: bytes) -> list[Report]:
    """Decode a chunk's bytes; each report starts with its message type."""
    return _reports_decoder.decode(data)
