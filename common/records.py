"""What the services tell each other: commands, groups, blocks. All are plain msgpack arrays.

Command (gateway to risk to matcher), one tuple per request:
    (msg_type, account, received_ns, cl_ord_id, *rest of the message's fields in wire order)
    received_ns is 0 for the time of the command before in the same frame.
    In a PartyActionRequest the number of the account that it names follows; 0: none has the name.
    A NewOrderSingle ends with its price when all that would follow is at its default, see `whole`.
Verdict (risk's, one per refused command; an approved command has none):
    (index in the group, reject_code, limit, value)
Group (commands of one gateway frame, in order, after risk):
    (lane, gateway_epoch, gateway_link, gateway_n, bytes, [verdict])   bytes = [command] encoded
Lane (path of a gateway's commands through one risk shard to one matcher shard), see `lane_of`.
Chunk (what one account is told by one block):
    (account, first_appl_seq_num, reports, answered, bytes, moves)   bytes = msgpack array of
    reports, exactly as the participant receives them. reports is 0 when they repeat earlier ones.
    moves: encoded, what risk has to know of them, see rtes.common.moves.
Block (one journal write, one feed frame):
    (shard, epoch, first_seq, commands, time_ns, [ack], [frame], [chunk], [notice])
    command i has seq first_seq + i and time time_ns + i; frame = [group] encoded, as risk sent
    it; ack = (lane, gateway_epoch, gateway_link, gateway_n): everything up to n is in here.
Notice (state that others than the account follow):
    (NOTICE_LOGON, account, gateway, session, turn) |
    (NOTICE_PARTY, action, account, symbol, session) |
    (NOTICE_ORPHAN, account, gateway, turn, cancel_on_disconnect): its gateway died
Turn (which session of an account is the newest, in every shard alike):
    an account's logons are ordered by one matcher shard, see `home_shard`; turn is the logon's seq
    there. The other shards are told of it by the gateway, and pass over older ones.
"""

import struct
from typing import Any, Final, NamedTuple

import msgspec

# positions in a command tuple
C_TYPE: Final = 0
C_ACCOUNT: Final = 1
C_RECEIVED_NS: Final = 2
C_CL_ORD_ID: Final = 3
# Logon
A_TURN: Final = 8
# NewOrderSingle
D_SYMBOL: Final = 4
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
D_PLAIN: Final = 9  # so many fields has one that ends with its price
D_DEFAULTS: Final[tuple[Any, ...]] = ("0", 0, "", 0, 0, 0, 0, 1)  # of all after it

# commands that no participant sends; cl_ord_id is 0 in them
CMD_LOGON: Final = "A"  # (type, account, received_ns, 0, gateway, session, cancel_on_disconnect,
#                          heart_bt_int, turn, matcher_shards): turn is 0 for the home shard,
#                          which gives it
CMD_DISCONNECT: Final = "XD"  # (type, account, received_ns, 0, gateway, turn)
CMD_GATEWAY: Final = "XG"  # (type, 0, received_ns, 0, gateway, risk_shard, risk_shards, planned):
#                            it has started; about the accounts of its lane's risk shard
CMD_EXPIRE: Final = "XE"  # (type, 0, wall_ns, 0): the matcher's own clock, journaled

NOTICE_LOGON: Final = "A"
NOTICE_PARTY: Final = "DH"
NOTICE_ORPHAN: Final = "XG"

Command = tuple[Any, ...]
Report = tuple[Any, ...]
Chunk = tuple[int, int, int, int, bytes, bytes]
Notice = tuple[Any, ...]


class Block(NamedTuple):
    """See the module's docstring. frames stay encoded: only a replica needs to look inside."""

    shard: int
    epoch: int
    first_seq: int
    commands: int
    time_ns: int
    acks: list[Any]
    frames: list[bytes]
    chunks: list[Chunk]
    notices: list[Notice]

    @property
    def groups(self) -> list[tuple[int, int, int, int, list[Command], list[Any]]]:
        """The groups with their commands decoded, in execution order."""
        return [group for frame in self.frames for group in decode_groups(frame)]


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode = msgspec.msgpack.Decoder().decode
_block_decoder = msgspec.msgpack.Decoder(
    tuple[int, int, int, int, int, list[Any], list[bytes], list[Chunk], list[Notice]]
)
_commands_decoder = msgspec.msgpack.Decoder(list[tuple[Any, ...]])
decode_commands = _commands_decoder.decode
_reports_decoder = msgspec.msgpack.Decoder(list[tuple[Any, ...]])


def decode_groups(frame: bytes) -> list[tuple[int, int, int, int, list[Command], list[Any]]]:
    """Decode one frame of risk: groups with their commands."""
    return [(g[0], g[1], g[2], g[3], decode_commands(g[4]), g[5]) for g in decode(frame)]


def whole(order: Command) -> Command:
    """A NewOrderSingle with all its fields."""
    return order if len(order) > D_PLAIN else order + D_DEFAULTS


def lane_of(gateway: int, risk_shard: int, matcher_shard: int) -> int:
    """The lane's number; at most 64 gateways and 32 shards of either kind."""
    return gateway * 1024 + risk_shard * 32 + matcher_shard


_TOLD: Final = struct.Struct(">Q")


def lane_payload(told_seq: int, commands: bytes) -> bytes:
    """What a lane's frame carries: how far in the matcher's feed the participant may have been
    told when it sent these commands, so that risk does not decide them on less."""
    return _TOLD.pack(told_seq) + commands


def split_lane_payload(payload: bytes) -> tuple[int, bytes]:
    """(told_seq, encoded commands)."""
    return _TOLD.unpack_from(payload)[0], payload[_TOLD.size :]


def home_shard(account: int, matcher_shards: int) -> int:
    """The matcher shard that orders an account's logons."""
    return account % matcher_shards


def gateway_of(lane: int) -> int:
    return lane // 1024


def risk_shard_of(lane: int) -> int:
    return lane // 32 % 32


def matcher_shard_of(lane: int) -> int:
    return lane % 32


def decode_block(data: bytes) -> Block:
    """Raises msgspec.DecodeError when data is not a block."""
    # as Block(*...), whose making runs as plain Python
    return tuple.__new__(Block, _block_decoder.decode(data))


def decode_reports(data: bytes) -> list[Report]:
    """Decode a chunk's bytes; each report starts with its message type."""
    return _reports_decoder.decode(data)
