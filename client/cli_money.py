"""Money in and out of the command line: prices as a person writes them, ticks as the exchange
counts them. Pure, and exact: decimal.Decimal throughout.

Invariants: what is not a valid price is refused, never rounded; ticks(money(t)) == t.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from rtes.client.errors import Rejected, RtesError
from rtes.common.messages import SecurityList
from rtes.common.refusals import Code


def money(ticks: float, instrument: SecurityList) -> str:
    """A price in ticks, as money; with the decimals of the tick. An average may lie between."""
    size = Decimal(instrument.tick_size)
    return f"{(Decimal(ticks) * size).quantize(size):f}"


def price_or_none(ticks: int, instrument: SecurityList) -> str | None:
    """As money; None where 0 ticks stand for no price."""
    return money(ticks, instrument) if ticks else None


def ticks(price: Decimal, instrument: SecurityList) -> int:
    """A price in money, as ticks. Raises RtesError that names the nearest valid prices."""
    step = Decimal(instrument.tick_size) * instrument.min_price_increment
    steps = price / step
    below = int(steps.to_integral_value(ROUND_FLOOR))
    if steps != below or below * step != price:
        above = int(steps.to_integral_value(ROUND_CEILING))
        near = [n * instrument.min_price_increment for n in (below, above) if n > 0]
        nearest = " and ".join(money(n, instrument) for n in near)
        raise RtesError(
            f"{instrument.symbol} trades in steps of {step:f}, so {price:f} is not a price; "
            f"the nearest {'are' if len(near) > 1 else 'is'} {nearest}"
        )
    return below * instrument.min_price_increment


def amount(ticks_lots: int, instrument: SecurityList) -> str:
    """Ticks x lots of one instrument, as money."""
    unit = Decimal(instrument.tick_size) * Decimal(instrument.lot_size)
    return f"{(ticks_lots * unit).normalize():f} {instrument.currency}"


def in_money(error: Rejected, instrument: SecurityList) -> Rejected:
    """The refusal, with the prices and amounts in its text as money."""
    limit, value = error.limit, error.value
    match error.code:
        case Code.PRICE_BAND:
            text = f"price {money(value, instrument)} is beyond the band edge "
            text += money(limit, instrument)
        case Code.PRICE_INCREMENT:
            text = f"price {money(value, instrument)} is not a multiple of "
            text += money(limit, instrument)
        case Code.POST_ONLY_WOULD_TRADE:
            text = f"post-only at {money(value, instrument)} would trade with "
            text += f"{money(limit, instrument)}; send a price that does not cross"
        case Code.NOTIONAL:
            text = f"order value {amount(value, instrument)} exceeds {amount(limit, instrument)}"
        case _:
            return error
    return Rejected(error.code, limit, value, text)
