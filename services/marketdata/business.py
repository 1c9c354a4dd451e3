"""What the exchange did, in figures: orders, trades and their value. Pure.

Counted from what the replica executes, so it costs the order path nothing. It counts since this
process started or was restored.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from rtes.common.enums import ExecType, OrdStatus
from rtes.common.refdata import Instrument
from rtes.services.marketdata.replica import R_EXEC_TYPE, R_LAST_PX, R_LAST_QTY, R_LIQUIDITY
from rtes.services.matcher.reporter import REMOVED, Event

R_ORD_STATUS: Final = R_EXEC_TYPE + 1
_NEW: Final = str(ExecType.NEW)
_TRADE: Final = str(ExecType.TRADE)
_FILLED: Final = str(OrdStatus.FILLED)


class Business:
    """Totals over the instruments of a shard."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._instruments = {i.symbol: i for i in instruments}
        self._accepted = self._filled = self._trades = self._lots = 0
        self._notional = dict.fromkeys(self._instruments, 0)  # by symbol, ticks x lots

    def executed(self, events: Iterable[Event]) -> None:
        """Count what one command did."""
        for report, order in events:
            kind = report[R_EXEC_TYPE]
            if kind == _NEW:
                self._accepted += 1
            elif kind == _TRADE:
                if report[R_ORD_STATUS] == _FILLED:
                    self._filled += 1
                if report[R_LIQUIDITY] == REMOVED:  # once for both sides of a trade
                    self._trades += 1
                    self._lots += report[R_LAST_QTY]
                    self._notional[order.symbol] += report[R_LAST_QTY] * report[R_LAST_PX]

    def counters(self) -> dict[str, float]:
        """For metrics; values in the instruments' currencies."""
        by_currency: dict[str, Decimal] = {}
        for symbol, value in self._notional.items():
            i = self._instruments[symbol]
            money = value * Decimal(i.tick_size) * Decimal(i.lot_size)
            by_currency[i.currency] = by_currency.get(i.currency, Decimal(0)) + money
        traded = {f"rtes_traded_notional_total.{c}": float(v) for c, v in by_currency.items()}
        return {
            "rtes_orders_total.accepted": self._accepted,
            "rtes_orders_total.filled": self._filled,
            "rtes_trades_total": self._trades,
            "rtes_traded_quantity_total": self._lots,
            **traded,
        }
