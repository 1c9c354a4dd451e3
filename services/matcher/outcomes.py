"""What answered an account's last requests, so that a repeat is answered with the same bytes.

Invariants: the last OUTCOMES_KEPT are known, wherever blocks began and ended. Those of a block are
two byte strings: a thousand tuples an account would be cold memory that every request touches. Of
most requests the report says all, see `request_of`; they are not kept, but None for them.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from rtes.common.records import Command, Report, decode_reports, encode

OUTCOMES_KEPT: Final = 1_024
BYTES_KEPT: Final = 256  # per request; of longer answers only the reports that matter are kept
Outcome = tuple[int, Command, Report]  # cl_ord_id, command, the report that answered it

Request = Command | None  # None: its report says it, see request_of

_decode_requests = msgspec.msgpack.Decoder(tuple[list[int], list[tuple[Any, ...] | None]]).decode


def _id_of(command: Command) -> int:
    cl_ord_id: int = command[3]
    return cl_ord_id


def _id(request: Request, report: Report) -> int:
    cl_ord_id: int = report[5] if request is None else request[3]
    return cl_ord_id


def request_of(account: int, report: Report) -> Command:
    """The request that was answered so, of those whose report says all of it: a plain limit order
    that was taken, and a cancel that was done. It does not say when it was received."""
    head = account, 0, report[5], report[8]
    if report[3] == "4":
        return ("F", *head, report[19])
    return ("D", *head, report[9], report[13], "2", report[14])


class Outcomes:
    """The outcomes of the blocks before this one, cl_ord_id ascending."""

    __slots__ = ("_account", "_blocks", "_count")

    def __init__(self, account: int) -> None:
        self._account = account
        # (first and last cl_ord_id, number of requests, (answers, requests) and reports encoded)
        self._blocks: deque[tuple[int, int, int, bytes, bytes]] = deque()
        self._count = 0

    def add(
        self, requests: list[Request], answers: list[int], reports: list[Report], data: bytes
    ) -> None:
        """A block's requests and all it told the account: answers are the indices of the reports
        that answered, data is reports encoded."""
        count = len(requests)
        first_id = _id(requests[0], reports[answers[0]])
        last_id = _id(requests[-1], reports[answers[-1]])
        if len(data) > BYTES_KEPT * count:
            data = encode([reports[answer] for answer in answers])
            answers = list(range(count))
        blocks = self._blocks
        blocks.append((first_id, last_id, count, encode((answers, requests)), data))
        self._count += count
        while self._count - blocks[0][2] >= OUTCOMES_KEPT:
            self._count -= blocks.popleft()[2]

    def find(self, cl_ord_id: int, newer: int) -> tuple[int, Outcome | None]:
        """How many outcomes are of higher ids, and the outcome of this one when it is kept.

        newer: how many there are in the present block."""
        for first_id, last_id, count, requests, data in reversed(self._blocks):
            if last_id < cl_ord_id or newer >= OUTCOMES_KEPT:
                break
            if first_id > cl_ord_id:
                newer += count
                continue
            answers, commands, reports = self._whole(requests, data)
            at = bisect_left(commands, cl_ord_id, key=_id_of)
            command = commands[at]
            found = command[3] == cl_ord_id
            newer += count - at - found
            if not found or newer >= OUTCOMES_KEPT:
                break
            return newer, (cl_ord_id, command, reports[answers[at]])
        return newer, None

    def _whole(self, requests: bytes, data: bytes) -> tuple[list[int], list[Command], list[Report]]:
        """A block's answers, all its requests, and the reports."""
        reports = decode_reports(data)
        answers, kept = _decode_requests(requests)
        pairs = zip(answers, kept, strict=True)
        commands = [k or request_of(self._account, reports[answer]) for answer, k in pairs]
        return answers, commands, reports

    def __iter__(self) -> Iterator[Outcome]:
        """All that are kept, oldest first."""
        found: list[Outcome] = []
        for _, _, _, requests, data in self._blocks:
            answers, commands, reports = self._whole(requests, data)
            for answer, command in zip(answers, commands, strict=True):
                found.append((command[3], command, reports[answer]))
        return iter(found[-OUTCOMES_KEPT:])

    def extend(self, outcomes: Iterable[Outcome]) -> None:
        """Take in those of another engine's state."""
        for _, command, report in outcomes:
            self.add([command], [0], [report], encode([report]))
