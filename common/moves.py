"""What a block changes in an account's exposure: of its reports, the part that risk follows.

The moves of a chunk are one flat array: kind, cl_ord_id of the request or the order, then by kind:
    ANSWERED (nothing of that id is in flight: it was refused, is about no order, or came again)
    OPENED symbol leaves (negative: to sell) price
    CLOSED the order's present cl_ord_id
    CHANGED leaves cum price
    REPLACED the order's cl_ord_id until now, leaves cum price
    TRADED symbol leaves last_qty last_px match_id
"""

from typing import Any, Final

import msgspec

ANSWERED: Final = 0
OPENED: Final = 1
CLOSED: Final = 2
CHANGED: Final = 3
REPLACED: Final = 4
TRADED: Final = 5
LENGTHS: Final = bytes((2, 5, 3, 5, 6, 7))  # by kind; compiled, a tuple would be made anew

_decoder = msgspec.msgpack.Decoder(list[Any])


def decode_moves(data: bytes) -> list[Any]:
    """The moves of a chunk, see above: reading them by position costs a quarter of reading the
    reports."""
    return _decoder.decode(data)
