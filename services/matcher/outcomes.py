"""What answered an account's last requests, so that a repeat is answered with the same bytes.

Invariants: the last OUTCOMES_KEPT are known, wherever blocks began and ended. Those of a block are
two byte strings: a thousand tuples an account would be cold memory that every request touches.
Most requests are not kept at all, because the report that answers says all of them, see `said`.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from rtes.common.records import Command, Report, decode_reports, encode

OUTCOMES_KEPT: Final = 1_024
BYTES_KEPT: Final = 256  # per request; of longer answers only the reports that matter are kept
Outcome = tuple[int, Command, Report]  # cl_ord_id, command, the report that answered it

_NONE: Final = encode(([], []))
_decode_requests = msgspec.msgpack.Decoder(tuple[list[int], list[tuple[Any, ...]]]).decode


def said(account: int, report: Report) -> Command | None:
    """The request that a report answers and says all of: a plain limit order that was taken, or a
    cancel that was done. It does not say when that was received."""
    if report[0] != "8":
        return None
    head = account, 0, report[5], report[8]
    if report[3] == "0":
        return ("D", *head, report[9], report[13], "2", report[14])
    if report[3] == "4" and len(report) > 19 and report[19]:
        return ("F", *head, report[19])
    return None


def _id(outcome: Outcome) -> int:
    return outcome[0]


def _id_of(command: Command) -> int:
    cl_ord_id: int = command[3]
    return cl_ord_id


class Outcomes:
    """The outcomes of one account, cl_ord_id ascending: of the blocks before, and of this one."""

    __slots__ = (
        "_account", "_answers", "_blocks", "_first", "_kept", "_last", "_requests", "_sought",
        "_sought_first", "_taken",
    )  # fmt: skip

    def __init__(self, account: int) -> None:
        self._account = account
        # (first and last cl_ord_id, number of requests, (answers, requests) and reports encoded)
        self._blocks: deque[tuple[int, int, int, bytes, bytes]] = deque()
        self._kept = 0  # requests of these
        self._taken = 0  # requests of this block
        self._first = 0  # cl_ord_id of this block's first, and of its last
        self._last = 0
        self._requests: list[Command] = []  # of this block, those that no report says
        self._answers: list[int] = []  # of each of them, which of the block's reports answered it
        self._sought: list[Outcome] = []  # of a block before, while repeats of its requests come
        self._sought_first = 0  # that block's first cl_ord_id; 0: of none

    def took(self, cl_ord_id: int, command: Command | None, answer: int) -> None:
        """A request was executed; command is None when the report that answered it says all."""
        if self._taken == 0:
            self._first = cl_ord_id
        self._taken += 1
        self._last = cl_ord_id
        if command is not None:
            self._requests.append(command)
            self._answers.append(answer)

    def seal(self, reports: Sequence[Report], data: bytes) -> None:
        """This block has ended: what it told the account, and the same encoded."""
        if self._sought_first:
            self._sought_first = 0
            self._sought = []
        count = self._taken
        if count == 0:
            return
        kept = _NONE
        if len(data) > BYTES_KEPT * count:
            outcomes = self._of_block(reports)
            data = encode([report for _, _, report in outcomes])
            kept = encode(([*range(count)], [command for _, command, _ in outcomes]))
        elif self._requests:
            kept = encode((self._answers, self._requests))
        self._blocks.append((self._first, self._last, count, kept, data))
        self._requests = []
        self._answers = []
        self._taken = 0
        self._kept += count
        while self._kept - self._blocks[0][2] >= OUTCOMES_KEPT:
            self._kept -= self._blocks.popleft()[2]

    def find(self, cl_ord_id: int, reports: Sequence[Report]) -> tuple[Outcome | None, bool]:
        """The outcome of this id when it is kept, and else whether it is too old for that: of so
        many higher ones outcomes are kept.

        reports: those of this block so far."""
        newer = self._taken
        if newer and cl_ord_id >= self._first:
            if newer > OUTCOMES_KEPT:
                return _find(self._of_block(reports), cl_ord_id, 0)
            return self._in_block(cl_ord_id, reports), False
        for first, last, count, kept, data in reversed(self._blocks):
            if last < cl_ord_id:
                break
            if first <= cl_ord_id:
                if self._sought_first != first:
                    self._sought = self._of_sealed(first, kept, data)
                    self._sought_first = first
                return _find(self._sought, cl_ord_id, newer)
            newer += count
        return None, newer >= OUTCOMES_KEPT

    def _in_block(self, cl_ord_id: int, reports: Sequence[Report]) -> Outcome | None:
        """As in _of_block, of one request: repeats may be many, each in a block of many."""
        at = bisect_left(self._requests, cl_ord_id, key=_id_of)
        if at < len(self._requests) and self._requests[at][3] == cl_ord_id:
            return cl_ord_id, self._requests[at], reports[self._answers[at]]
        for report in reversed(reports):
            if report[0] == "8" and report[5] == cl_ord_id:
                command = said(self._account, report)
                if command is not None:
                    return cl_ord_id, command, report
        return None

    def _of_block(self, reports: Sequence[Report]) -> list[Outcome]:
        requests, answers = self._requests, self._answers
        return _outcomes(self._account, self._first, requests, answers, reports)

    def _of_sealed(self, first: int, kept: bytes, data: bytes) -> list[Outcome]:
        answers, requests = _decode_requests(kept)
        return _outcomes(self._account, first, requests, answers, decode_reports(data))

    def __iter__(self) -> Iterator[Outcome]:
        """All that are kept, oldest first; between blocks."""
        found: list[Outcome] = []
        for first, _last, _count, kept, data in self._blocks:
            found += self._of_sealed(first, kept, data)
        return iter(found[-OUTCOMES_KEPT:])

    def extend(self, outcomes: Iterable[Outcome]) -> None:
        """Take in those of another engine's state."""
        for cl_ord_id, command, report in outcomes:
            self.took(cl_ord_id, command, 0)
            self.seal([report], encode([report]))


def _outcomes(
    account: int, first: int, requests: list[Command], answers: list[int],
    reports: Sequence[Report],
) -> list[Outcome]:  # fmt: skip
    """Of a block's requests, ascending, of which first is the first; those that are not given
    are said by reports."""
    found: dict[int, Outcome] = {}
    for report in reports:
        command = said(account, report)
        if command is not None and command[3] >= first:  # else it came again
            found[command[3]] = (command[3], command, report)
    for command, answer in zip(requests, answers, strict=True):
        found[command[3]] = (command[3], command, reports[answer])
    return sorted(found.values(), key=_id)


def _find(outcomes: list[Outcome], cl_ord_id: int, newer: int) -> tuple[Outcome | None, bool]:
    """Among a block's; newer: how many there are in the blocks after it."""
    at = bisect_left(outcomes, cl_ord_id, key=_id)
    found = at < len(outcomes) and outcomes[at][0] == cl_ord_id
    if newer + len(outcomes) - at - found >= OUTCOMES_KEPT:
        return None, True
    return outcomes[at] if found else None, False
