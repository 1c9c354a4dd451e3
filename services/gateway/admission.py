"""From a client's frame to messages: cheap checks first, every fault named, nothing half-read.

A frame is one message or an array of messages. When a batch holds a message that cannot be read,
the others are still taken and that one is answered with Reject.
"""

import re
from typing import Final

import msgspec
from rtes.common.messages import (
    BATCH_MESSAGES_MAX,
    FRAME_BYTES_MAX,
    BusinessMessageReject,
    Inbound,
    Reject,
)
from rtes.common.refusals import Code, explain

UNREADABLE_CODES: Final = (Code.MALFORMED, Code.TOO_LARGE)  # what no honest client sends

# what decoding of hostile bytes raises: not all of it is msgspec's own error
UNREADABLE: Final = (msgspec.DecodeError, RecursionError, ValueError, OverflowError)

_decode_one = msgspec.msgpack.Decoder(Inbound).decode
_decode_batch = msgspec.msgpack.Decoder(list[Inbound]).decode
_decode_raw = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_INBOUND: Final = {t.__struct_config__.tag: t for t in Inbound.__args__}
_POSITION: Final = re.compile(r"\$\[(\d+)\]")
_TYPE: Final = msgspec.msgpack.Decoder(list[object])


def read(frame: bytes) -> tuple[list[Inbound], list[Reject]]:
    """The messages of a frame, and a Reject for each that could not be read."""
    if len(frame) > FRAME_BYTES_MAX:
        return [], [_reject(Code.TOO_LARGE, limit=FRAME_BYTES_MAX, value=len(frame))]
    try:
        if _is_batch(frame):
            messages = _decode_batch(frame)
            if len(messages) <= BATCH_MESSAGES_MAX:
                return messages, []
            return [], [_reject(Code.TOO_LARGE, limit=BATCH_MESSAGES_MAX, value=len(messages))]
        return [_decode_one(frame)], []
    except UNREADABLE:
        return _one_by_one(frame)


def _is_batch(frame: bytes) -> bool:
    """An array whose first element is an array again, told from the first bytes."""
    if len(frame) < 2:
        return False
    head = frame[0]
    first = frame[1] if head & 0xF0 == 0x90 else frame[3] if head == 0xDC and len(frame) > 3 else 0
    return first & 0xF0 == 0x90 or first in (0xDC, 0xDD)


def _one_by_one(frame: bytes) -> tuple[list[Inbound], list[Reject]]:
    messages: list[Inbound] = []
    rejects: list[Reject] = []
    try:
        raws = [bytes(r) for r in _decode_raw(frame)] if _is_batch(frame) else [frame]
    except UNREADABLE:
        return [], [_reject(Code.MALFORMED)]
    if len(raws) > BATCH_MESSAGES_MAX:
        return [], [_reject(Code.TOO_LARGE, limit=BATCH_MESSAGES_MAX, value=len(raws))]
    for raw in raws:
        try:
            messages.append(_decode_one(raw))
        except UNREADABLE as error:
            rejects.append(_diagnose(raw, error))
    return messages, rejects


def _diagnose(raw: bytes, error: Exception) -> Reject:
    """Name the message type, the field and the value, as far as they can be read."""
    try:
        parts = _TYPE.decode(raw)
    except UNREADABLE:
        return _reject(Code.MALFORMED)
    message = _INBOUND.get(parts[0]) if parts and isinstance(parts[0], str) else None
    if message is None:
        return _reject(Code.MALFORMED)
    found = _POSITION.search(str(error))
    at = int(found.group(1)) if found else len(parts)
    fields = message.__struct_fields__
    name = fields[at - 1] if 0 < at <= len(fields) else ""
    value = parts[at] if at < len(parts) else 0
    number = value if type(value) is int and abs(value) < 2**63 else 0
    return Reject(
        Code.INVALID_VALUE, str(parts[0]), name, 0, number, f"{name or 'message'}: {error}"[:200]
    )


def _reject(code: Code, limit: int = 0, value: int = 0) -> Reject:
    return Reject(code, "", "", limit, value, explain(code, limit, value))


def refuse(
    message: Inbound, code: Code, limit: int = 0, value: int = 0, retry_after_ms: int = 0
) -> BusinessMessageReject:
    """The gateway's refusal of a message that could be read."""
    return BusinessMessageReject(
        str(message.__struct_config__.tag),
        getattr(message, "cl_ord_id", 0),
        code,
        limit,
        value,
        retry_after_ms,
    )
