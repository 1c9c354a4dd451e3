"""Whatever bytes a client sends: nothing raises, nothing is half-read, every fault is named."""

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtes.common import messages as m
from rtes.common.refusals import Code
from rtes.services.gateway.admission import read

ORDER = ["D", 1, "AAPL", "1", 100, "2", 58_000]
GOOD = m.encode(ORDER)


def replaced(at: int, value: object) -> bytes:
    row: list[object] = list(ORDER)
    row[at] = value
    return bytes(msgpack.packb(row))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        GOOD[:-1],
        GOOD + b"\x00",
        b"\x91" * 5_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x91\xa2\xff\xfe",
        b"GET / HTTP/1.1\r\n\r\n",
        msgpack.packb({"D": 1}),
        msgpack.packb([]),
        msgpack.packb([[]]),
        msgpack.packb([["Z", 1]]),
        msgpack.packb(["Z"]),
        msgpack.packb(7),
        msgpack.packb([b"D", 1, "AAPL", "1", 1, "2", 1]),
    ],
)
def test_bytes_that_are_no_message_are_malformed(frame: bytes) -> None:
    messages, rejects = read(frame)
    assert messages == []
    assert [r.reject_code for r in rejects] in ([Code.MALFORMED], [])
    assert rejects or frame in (msgpack.packb([]), msgpack.packb([[]]))


@pytest.mark.parametrize(
    ("at", "value", "field"),
    [
        (1, True, "cl_ord_id"),
        (1, 1.0, "cl_ord_id"),
        (1, 0, "cl_ord_id"),
        (1, -1, "cl_ord_id"),
        (1, 2**63, "cl_ord_id"),
        (2, "", "symbol"),
        (2, "X" * 17, "symbol"),
        (2, ["A"], "symbol"),
        (3, "9", "side"),
        (3, 1, "side"),
        (4, 0, "order_qty"),
        (4, -5, "order_qty"),
        (4, float("nan"), "order_qty"),
        (4, float("inf"), "order_qty"),
        (4, 10**13, "order_qty"),
        (5, "Q", "ord_type"),
        (6, -1, "price"),
        (6, None, "price"),
        (6, msgpack.Timestamp(1), "price"),
        (6, msgpack.ExtType(5, b"x"), "price"),
    ],
)
def test_a_wrong_field_is_named(at: int, value: object, field: str) -> None:
    messages, rejects = read(replaced(at, value))
    assert messages == []
    assert [(r.reject_code, r.ref_msg_type, r.ref_field) for r in rejects] == [
        (Code.INVALID_VALUE, "D", field)
    ]


def test_missing_fields_are_named() -> None:
    _, rejects = read(msgpack.packb(["D", 1, "AAPL"]))
    assert (rejects[0].reject_code, rejects[0].ref_field) == (Code.INVALID_VALUE, "side")


def test_one_bad_message_does_not_spoil_the_batch() -> None:
    bad = ["D", 2, "AAPL", "7", 1, "2", 1]
    messages, rejects = read(msgpack.packb([ORDER, bad, ORDER]))
    assert len(messages) == 2
    assert rejects[0].ref_field == "side"


def test_too_large_frames_and_batches_are_refused_with_the_limit() -> None:
    _, rejects = read(b"\x00" * (m.FRAME_BYTES_MAX + 1))
    assert (rejects[0].reject_code, rejects[0].limit) == (Code.TOO_LARGE, m.FRAME_BYTES_MAX)
    _, rejects = read(msgpack.packb([ORDER] * (m.BATCH_MESSAGES_MAX + 1)))
    assert (rejects[0].reject_code, rejects[0].limit) == (Code.TOO_LARGE, m.BATCH_MESSAGES_MAX)


def test_a_full_batch_is_taken() -> None:
    messages, rejects = read(msgpack.packb([ORDER] * m.BATCH_MESSAGES_MAX))
    assert len(messages) == m.BATCH_MESSAGES_MAX
    assert rejects == []


@settings(max_examples=2_000, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_never_raise(frame: bytes) -> None:
    read(frame)


@settings(max_examples=2_000, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.booleans())
def test_mutated_orders_never_raise_and_rejects_can_be_sent(at: int, byte: int, cut: bool) -> None:
    frame = GOOD[:at] + bytes([byte]) + (b"" if cut else GOOD[at + 1 :])
    messages, rejects = read(frame)
    for reject in rejects:
        msgspec.msgpack.decode(m.encode(reject), type=m.Outbound)
    assert len(messages) + len(rejects) <= 1 or frame[0] & 0xF0 == 0x90
