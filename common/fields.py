"""Field types and bases that messages share: range, unit and FIX tag, declared once.

`field` carries what the generated protocol page needs; the ranges are enforced by the decoder.
"""

from typing import Annotated

from msgspec import Meta, Struct


def field(description: str, tag: int, unit: str = "") -> Meta:
    return Meta(description=description, extra={"tag": tag, "unit": unit})


U63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
ClOrdId = Annotated[
    int,
    Meta(ge=1, le=2**63 - 1),
    field("chosen by the participant, strictly increasing per account", 11),
]
OrigClOrdId = Annotated[
    int, Meta(ge=1, le=2**63 - 1), field("cl_ord_id of the order meant", 41)
]
Symbol = Annotated[str, Meta(min_length=1, max_length=16), field("instrument", 55)]
AnySymbol = Annotated[str, Meta(max_length=16), field("instrument; empty for all", 55)]
Qty = Annotated[int, Meta(ge=1, le=10**12), field("total quantity", 38, "lots")]
QtyOrZero = Annotated[int, Meta(ge=0, le=10**12)]
PriceTicks = Annotated[int, Meta(ge=0, le=10**12), field("limit price; 0 for none", 44, "ticks")]
StopPx = Annotated[int, Meta(ge=0, le=10**12), field("trigger price; 0 for none", 99, "ticks")]
TimeNs = Annotated[int, Meta(ge=0, le=2**63 - 1)]
DisplayQty = Annotated[
    QtyOrZero, field("iceberg: quantity shown at a time; 0 shows all", 1138, "lots")
]
MinQty = Annotated[
    QtyOrZero, field("least to trade at once on entry, else nothing; 0 for none", 110, "lots")
]
ExpireTime = Annotated[TimeNs, field("when a GTD order expires", 126, "ns UTC")]
SmpId = Annotated[
    int,
    Meta(ge=0, le=2**31),
    field("orders with the same non-zero id never trade with each other", 2362),
]
ShortText = Annotated[str, Meta(max_length=64)]


class Message(Struct, array_like=True, frozen=True, gc=False):
    """Shared options: positional on the wire, immutable, not tracked by the collector."""


class Request(Message, frozen=True, forbid_unknown_fields=True):
    """What a participant sends. A field too many is refused: ignoring it could change an order.
    Reports are read leniently, so that a later version may add fields at their end."""
