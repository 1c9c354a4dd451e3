"""What answered an account's last requests, so that a repeat is answered with the same bytes.

Invariants: the last OUTCOMES_KEPT are known, wherever blocks began and ended. Those of a block are
two byte strings: a thousand tuples an account would be cold memory that every request touches.
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

_decode_requests = msgspec.msgpack.Decoder(tuple[list[int], list[tuple[Any, ...]]]).decode


def _id_of(command: Command) -> int:
    cl_ord_id: int = command[3]
    return cl_ord_id


class Outcomes:
    """The outcomes of the blocks before this one, cl_ord_id ascending."""

    __slots__ = ("_blocks", "_count")

    def __init__(self) -> None:
        # (first and last cl_ord_id, number of requests, (answers, requests) and reports encoded)
        self._blocks: deque[tuple[int, int, int, bytes, bytes]] = deque()
        self._count = 0

    def add(
        self, requests: list[Command], answers: list[int], reports: list[Report], data: bytes
    ) -> None:
        """A block's requests and all it told the account: answers are the indices of the reports
        that answered, data is reports encoded."""
        count = len(requests)
        if len(data) > BYTES_KEPT * count:
            data = encode([reports[answer] for answer in answers])
            answers = list(range(count))
        blocks = self._blocks
        first_id, last_id = requests[0][3], requests[-1][3]
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
            answers, commands = _decode_requests(requests)
            at = bisect_left(commands, cl_ord_id, key=_id_of)
            command = commands[at]
            found = command[3] == cl_ord_id
            newer += count - at - found
            if not found or newer >= OUTCOMES_KEPT:
                break
            return newer, (cl_ord_id, command, decode_reports(data)[answers[at]])
        return newer, None

    def __iter__(self) -> Iterator[Outcome]:
        """All that are kept, oldest first."""
        found: list[Outcome] = []
        for _, _, _, requests, data in self._blocks:
            reports = decode_reports(data)
            for answer, command in zip(*_decode_requests(requests), strict=True):
                found.append((command[3], command, reports[answer]))
        return iter(found[-OUTCOMES_KEPT:])

    def extend(self, outcomes: Iterable[Outcome]) -> None:
        """Take in those of another engine's state."""
        for _, command, report in outcomes:
            self.add([command], [0], [report], encode([report]))
