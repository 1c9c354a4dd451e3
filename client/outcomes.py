"""What one account was told about the orders of a replay: counts, and a digest to compare runs by.

Pure. The digest covers every report in the order told, times apart. What the exchange numbers
(orders, trades) and the account's own ids count from the start of the run, and of a refusal the
code counts but not its limit, which may move with the last price of before. So the same flow
gives the same digest on the same mesh again and on another one.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from rtes.common.enums import ExecType
from rtes.common.messages import (
    BusinessMessageReject,
    ExecutionReport,
    OrderCancelReject,
    OrderMassStatusReport,
)
from rtes.common.refusals import explain

Report = ExecutionReport | OrderCancelReject | BusinessMessageReject | OrderMassStatusReport
NOT_COMPARED: Final = (
    "appl_seq_num", "exec_id", "transact_time", "retry_after_ms", "limit", "value"
)  # fmt: skip
OWN_IDS: Final = ("cl_ord_id", "orig_cl_ord_id")
EXCHANGE_IDS: Final = ("order_id", "trd_match_id")


@dataclass
class Refused:
    """How often a code was told, and its text the first time."""

    code: int
    text: str
    count: int = 0


@dataclass
class Outcomes:
    """The outcomes of one account. first_id: the lowest cl_ord_id of the run."""

    first_id: int
    unanswered: set[int] = field(default_factory=set)
    told: Counter[str] = field(default_factory=Counter)
    refused: dict[int, Refused] = field(default_factory=dict)
    fills: int = 0
    filled_qty: int = 0
    short: int = 0  # IOC orders that did not trade in full
    short_qty: int = 0
    _numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    _hash: Any = field(default_factory=hashlib.sha256)

    def tell(self, report: Report) -> None:
        """Take one report; those about requests from before the run are ignored."""
        if report.cl_ord_id < self.first_id:
            return
        self.unanswered.discard(report.cl_ord_id)
        self._hash.update(msgspec.msgpack.encode(self._comparable(report)))
        if isinstance(report, ExecutionReport):
            self._count(report)
        if not isinstance(report, OrderMassStatusReport) and report.reject_code:
            self._refuse(report.reject_code, report.limit, report.value)

    def digest(self) -> str:
        """sha256 of all that was told so far, in hex."""
        return str(self._hash.hexdigest())

    def _count(self, report: ExecutionReport) -> None:
        self.told[report.exec_type.name.lower()] += 1
        if report.exec_type is ExecType.TRADE:
            self.fills += 1
            self.filled_qty += report.last_qty
        ended = report.exec_type in (ExecType.CANCELED, ExecType.EXPIRED)
        if ended and not report.orig_cl_ord_id:
            self.short += 1
            self.short_qty += report.order_qty - report.cum_qty

    def _refuse(self, code: int, limit: int, value: int) -> None:
        text = explain(code, limit, value)
        self.refused.setdefault(code, Refused(code, text)).count += 1

    def _comparable(self, report: Report) -> list[Any]:
        """The report's type and fields without what differs between runs."""
        fields: list[Any] = [type(report).__name__]
        for name in report.__struct_fields__:
            value = getattr(report, name)
            if name in NOT_COMPARED:
                continue
            if name in OWN_IDS and value:
                value -= self.first_id
            elif name in EXCHANGE_IDS and value:
                value = self._numbers.setdefault((name, value), len(self._numbers))
            fields.append(value)
        return fields
