"""FIX enumerations: names in code and logs, FIX values on the wire.

Only the values that RTES uses; a value not listed here is refused by the decoder.
"""

from enum import IntEnum, StrEnum


class Side(StrEnum):
    BUY = "1"
    SELL = "2"


class OrdType(StrEnum):
    MARKET = "1"
    LIMIT = "2"
    STOP = "3"
    STOP_LIMIT = "4"
    MARKET_TO_LIMIT = "K"


class TimeInForce(StrEnum):
    DAY = "0"
    GTC = "1"
    IOC = "3"
    FOK = "4"
    GTD = "6"


class ExecInst(StrEnum):
    NONE = ""
    POST_ONLY = "6"


class ExecType(StrEnum):
    NEW = "0"
    CANCELED = "4"
    REPLACED = "5"
    REJECTED = "8"
    EXPIRED = "C"
    RESTATED = "D"
    TRADE = "F"
    ORDER_STATUS = "I"
    TRIGGERED = "L"


class OrdStatus(StrEnum):
    NEW = "0"
    PARTIALLY_FILLED = "1"
    FILLED = "2"
    CANCELED = "4"
    REJECTED = "8"
    EXPIRED = "C"


class SmpInstruction(IntEnum):
    """SelfMatchPreventionInstruction (2964). DECREMENT is an extension: FIX has no value."""

    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3
    DECREMENT = 4


class Restatement(IntEnum):
    """ExecRestatementReason (378): why a report was not asked for. 0 where it was."""

    NONE = 0
    CANCEL_ON_DISCONNECT = 12
    SMP_NEWEST = 17
    SMP_OLDEST = 18
    SMP_BOTH = 20
    MASS_CANCEL = 99


class MassCancelType(StrEnum):
    SYMBOL = "1"
    ALL = "7"


class CxlRejResponseTo(StrEnum):
    CANCEL = "1"
    REPLACE = "2"


class Liquidity(IntEnum):
    """LastLiquidityInd (851)."""

    NONE = 0
    ADDED = 1
    REMOVED = 2


class PartyAction(IntEnum):
    """PartyActionType (2329)."""

    SUSPEND = 0
    HALT_TRADING = 1
    REINSTATE = 2


class FlagAction(IntEnum):
    """What a FeatureFlagRequest does."""

    OFF = 0
    ON = 1
    TELL = 2


class CancelOnDisconnect(IntEnum):
    """What the exchange cancels when the session is lost."""

    NOTHING = 0
    NOT_GTC_GTD = 1
    EVERYTHING = 2


class Role(StrEnum):
    PARTICIPANT = "participant"
    OPERATOR = "operator"


class Channel(StrEnum):
    """Market data channels: the first part of the topic, `top.AAPL`."""

    TOP = "top"
    DEPTH = "depth"
    TRADES = "trades"
    ORDERS = "orders"
    STATUS = "status"
    CONFLATED = "conflated"


class MdUpdateAction(StrEnum):
    """MDUpdateAction (279)."""

    NEW = "0"
    CHANGE = "1"
    DELETE = "2"


class MdEntryType(StrEnum):
    """MDEntryType (269)."""

    BID = "0"
    OFFER = "1"


class SecurityTradingStatus(IntEnum):
    """SecurityTradingStatus (326)."""

    HALT = 2
    READY_TO_TRADE = 17
