"""How each message that the matcher sequences travels."""

from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import astuple
from rtes.common import messages as m
from rtes.common.enums import OrdType, Side
from rtes.common.flagwire import FeatureFlagRequest
from rtes.common.records import Command


@dataclass(frozen=True)
class Route:
    """Cancels keep a reserve and pass while the exchange is read-only; some go to every shard."""

    tag: str
    cancel: bool = False
    opens: bool = False  # may add to a book
    to_all: bool = False
    names_account: bool = False


ROUTES: Final[dict[type, Route]] = {
    m.NewOrderSingle: Route("D", opens=True),
    m.OrderCancelRequest: Route("F", cancel=True),
    m.OrderCancelReplaceRequest: Route("G", opens=True),
    m.OrderMassCancelRequest: Route("q", cancel=True, to_all=True),
    m.OrderStatusRequest: Route("H"),
    m.OrderMassStatusRequest: Route("AF", to_all=True),
    m.PartyActionRequest: Route("DH", to_all=True, names_account=True),
    FeatureFlagRequest: Route("UF", to_all=True),
}

# D_DEFAULTS as the decoder gives them: enum members, of which identity tells. As strings they take
# 320 instructions an order more
_PLAIN: Final = astuple(m.NewOrderSingle(1, "A", Side.BUY, 1, OrdType.LIMIT))  # all at defaults
_TO_PRICE: Final = m.NewOrderSingle.__struct_fields__.index("price") + 1
_DEFAULTS: Final = _PLAIN[_TO_PRICE:]
_astuple: Final = astuple  # compiled, a constant is not looked up among the module's names


def command_of(route: Route, account: Any, received_ns: Any, message: Any) -> Command:
    """What risk and the matcher get, see rtes.common.records."""
    fields: tuple[Any, ...] = _astuple(message)
    if route.opens and fields[_TO_PRICE:] == _DEFAULTS:
        fields = fields[:_TO_PRICE]
    return (route.tag, account, received_ns) + fields  # noqa: RUF005 - unpacking makes a list
