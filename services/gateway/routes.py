"""How each message that the matcher sequences travels."""

from dataclasses import dataclass
from typing import Final

from rtes.common import messages as m
from rtes.common.flagwire import FeatureFlagRequest


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
