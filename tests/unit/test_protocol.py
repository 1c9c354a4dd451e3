"""The participant protocol against golden vectors that any implementer can use.

The bytes in tests/golden were made with the plain msgpack package, not with the code under test.
Every message type has one vector at least, and every malformed frame is refused by the decoder,
always with a ValueError (DecodeError, or UnicodeDecodeError for a string that is not UTF-8).
"""

import json
from pathlib import Path
from typing import Any, get_args

import msgpack
import msgspec
import pytest
from rtes.common import marketdata, messages, protocol_docs
from rtes.common.refusals import CATALOGUE

GOLDEN = Path(__file__).parent.parent / "golden"
UNIONS: dict[str, Any] = {
    "inbound": messages.Inbound,
    "outbound": messages.Outbound,
    "market_data": marketdata.Published,
    "market_data_queries": marketdata.MarketDataQuery,
}
DECODERS = {name: msgspec.msgpack.Decoder(union) for name, union in UNIONS.items()}


def vectors(name: str) -> list[Any]:
    rows: list[Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return rows


VECTORS = [(name, row) for name in UNIONS for row in vectors(name)]
IDS = [f"{name}-{row['message']}" for name, row in VECTORS]


def struct_of(row: Any) -> Any:
    return getattr(messages, row["message"], None) or getattr(marketdata, row["message"])


def message_of(row: Any) -> Any:
    """Built the way JSON says it, so that enums and ranges are checked too."""
    struct = struct_of(row)
    fields = [struct.__struct_config__.tag, *row["fields"].values()]
    assert tuple(row["fields"]) == struct.__struct_fields__
    return msgspec.convert(fields, struct)


@pytest.mark.parametrize(("name", "row"), VECTORS, ids=IDS)
def test_encodes_to_the_golden_bytes(name: str, row: Any) -> None:
    assert messages.encode(message_of(row)).hex() == row["bytes"]


@pytest.mark.parametrize(("name", "row"), VECTORS, ids=IDS)
def test_decodes_the_golden_bytes(name: str, row: Any) -> None:
    assert DECODERS[name].decode(bytes.fromhex(row["bytes"])) == message_of(row)


@pytest.mark.parametrize(("name", "row"), VECTORS, ids=IDS)
def test_plain_msgpack_reads_and_writes_the_same(name: str, row: Any) -> None:
    tag, *values = msgpack.unpackb(bytes.fromhex(row["bytes"]))
    assert tag == struct_of(row).__struct_config__.tag
    assert values == list(row["fields"].values())
    assert msgpack.packb([tag, *values]).hex() == row["bytes"]


@pytest.mark.parametrize(
    "row", [r for r in vectors("inbound") if "shortest" in r], ids=lambda r: r["message"]
)
def test_trailing_defaults_may_be_left_out(row: Any) -> None:
    assert len(row["shortest"]) < len(row["bytes"])
    assert DECODERS["inbound"].decode(bytes.fromhex(row["shortest"])) == message_of(row)


@pytest.mark.parametrize("name", UNIONS)
def test_every_message_has_a_vector(name: str) -> None:
    assert {s.__name__ for s in get_args(UNIONS[name])} == {r["message"] for r in vectors(name)}


@pytest.mark.parametrize("row", vectors("malformed"), ids=lambda r: r["why"])
def test_malformed_is_refused(row: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - many texts, one base
        DECODERS["inbound"].decode(bytes.fromhex(row["bytes"]))


def test_a_batch_holds_the_same_messages() -> None:
    rows = vectors("inbound")
    batch = msgspec.msgpack.Decoder(list[messages.Inbound])
    frame = msgpack.packb([msgpack.unpackb(bytes.fromhex(row["bytes"])) for row in rows])
    assert batch.decode(frame) == [message_of(row) for row in rows]


def test_a_report_may_grow_at_its_end() -> None:
    fields = msgpack.unpackb(bytes.fromhex(vectors("outbound")[0]["bytes"]))
    longer = msgpack.packb([*fields, "added by a later version"])
    assert DECODERS["outbound"].decode(longer) == message_of(vectors("outbound")[0])


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert protocol_docs.main(["--check"]) == 0, capsys.readouterr().err


def test_the_page_names_every_field_and_refusal() -> None:
    page = protocol_docs.page()
    for struct in (s for union in UNIONS.values() for s in get_args(union)):
        for field in struct.__struct_fields__:
            assert f"`{field}`" in page
    assert all(f"| {int(code)} | {code.name} |" in page for code in CATALOGUE)
