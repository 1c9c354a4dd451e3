"""Money in and out of the command line: prices as a person writes them, ticks as the exchange
counts them. Pure, and exact: decimal.Decimal throughout.

Invariants: what is not a valid price is refused, never rounded; ticks(money(t)) == t.
"""

from decimal import Decimal
from typing import Final

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
    whole, rest = divmod(price, step)
    below = int(whole)
    if rest:
        near = [n * instrument.min_price_increment for n in (below, below + 1) if n > 0]
        nearest = " and ".join(money(n, instrument) for n in near)
        raise RtesError(
            f"{instrument.symbol} trades in steps of {step:f}, so {price:f} is not a price; "
            f"the nearest {'are' if len(near) > 1 else 'is'} {nearest}"
        )
    if below * instrument.min_price_increment > PRICE_TICKS_MAX:
        raise RtesError(
            f"{price:f} is above the largest price, {money(PRICE_TICKS_MAX, instrument)}"
        )
    return below * instrument.min_price_increment


def amount(ticks_lots: int, instrument: SecurityList) -> str:
    """Ticks x lots of one instrument, as money."""
    unit = Decimal(instrument.tick_size) * Decimal(instrument.lot_size)
    return f"{(ticks_lots * unit).normalize():f} {instrument.currency}"


PRICE_TICKS_MAX: Final = 10**12  # of the protocol
_OPTIONS: Final = {  # by FIX tag
    18: "--post-only",
    40: "--type",
    44: "a price",
    59: "--tif",
    99: "--stop",
    110: "--min-qty",
    126: "--expire-in",
    1138: "--display",
}


def in_words(error: Rejected, instrument: SecurityList) -> Rejected:
    """The refusal, with prices and amounts as money and fields as options in its text."""
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
        case Code.INVALID_FIELDS if value in _OPTIONS:
            text = f"{_OPTIONS[value]}, or the lack of it, does not fit this order type or TIF"
        case _:
            return error
    return Rejected(error.code, limit, value, text)
