"""Executes the matcher's blocks again, command by command, and checks that they come out alike.

Invariants: every block is executed whole, in order, once; what the matcher told and what the
replica tells are the same bytes, else InvariantError. Market data is derived between commands,
because only there is a book what the next command meets.
"""

from collections.abc import Iterator
from typing import Any, Final

from rtes.common.invariant import invariant
from rtes.common.messages import ExecutionReport
from rtes.common.records import Block, Report, decode_reports, encode
from rtes.services.matcher.engine import Engine

EXECUTION: Final = str(ExecutionReport.__struct_config__.tag)
_POSITION: Final = {name: i for i, name in enumerate(ExecutionReport.__struct_fields__, start=1)}
R_APPL_SEQ_NUM: Final = _POSITION["appl_seq_num"]
R_EXEC_TYPE: Final = _POSITION["exec_type"]
R_ORDER_ID: Final = _POSITION["order_id"]
R_EXEC_ID: Final = _POSITION["exec_id"]
R_SYMBOL: Final = _POSITION["symbol"]
R_SIDE: Final = _POSITION["side"]
R_LAST_QTY: Final = _POSITION["last_qty"]
R_LAST_PX: Final = _POSITION["last_px"]
R_TRD_MATCH_ID: Final = _POSITION["trd_match_id"]
R_LIQUIDITY: Final = _POSITION["last_liquidity_ind"]

Chunk = tuple[int, int, int, int, bytes]  # see records
Executed = tuple[int, list[Report], list[Any]]  # time_ns, new ExecutionReports, notices


class Replica:
    """A second engine that must do as the first."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._next_seq = 1

    def resume(self, next_seq: int) -> None:
        """The engine has taken in a state: the next block starts at next_seq."""
        self._next_seq = next_seq

    def execute(self, block: Block) -> Iterator[Executed]:
        """After each command: its time and what it told. Raises InvariantError, at the latest
        after the last command, when the block comes out differently than the matcher says."""
        invariant(block.first_seq == self._next_seq, "a block is missing or comes twice")
        apply, take = self._engine.apply, self._engine.take
        told: dict[int, list[Any]] = {}
        noticed: list[Any] = []
        seq, time_ns = block.first_seq, block.time_ns
        for _lane, _epoch, _link, _n, commands, verdicts in block.groups:
            refused = {v[0]: tuple(v) for v in verdicts}
            for i, command in enumerate(commands):
                apply(command, refused.get(i), seq, time_ns)
                chunks, notices = take()
                for chunk in chunks:
                    _merge(told, chunk)
                noticed += notices
                yield time_ns, _executions(chunks), notices
                seq += 1
                time_ns += 1
        invariant(seq == block.first_seq + block.commands, "a block does not hold its commands")
        self._next_seq = seq
        _compare(block, told, noticed)


def _merge(told: dict[int, list[Any]], chunk: Chunk) -> None:
    """Add one command's chunk to what the account is told by the block so far."""
    account, first_seq_num, reports, answered, data = chunk
    body = data[_header_bytes(data) :]
    known = told.get(account)
    if known is None:
        told[account] = [account, first_seq_num, reports, answered, [body]]
    else:
        known[2] += reports
        known[3] += answered
        known[4].append(body)


def _compare(block: Block, told: dict[int, list[Any]], noticed: list[Any]) -> None:
    ours = [[*known[:4], b"".join(known[4])] for known in told.values()]
    theirs = [[*chunk[:4], chunk[4][_header_bytes(chunk[4]) :]] for chunk in block.chunks]
    same = ours == theirs and encode(noticed) == encode(block.notices)
    invariant(same, f"the replica diverged from the matcher in the block at {block.first_seq}")


def _header_bytes(data: bytes) -> int:
    """Length of the array header before a chunk's reports."""
    return {0xDC: 3, 0xDD: 5}.get(data[0], 1)


def _executions(chunks: list[Chunk]) -> list[Report]:
    """The new ExecutionReports in the order of events; a repeat of an old one is no event."""
    reports = [
        report
        for _account, first_seq_num, _reports, _answered, data in chunks
        for report in decode_reports(data)
        if report[0] == EXECUTION and report[R_APPL_SEQ_NUM] >= first_seq_num
    ]
    if len(chunks) > 1:
        reports.sort(key=lambda report: report[R_EXEC_ID])
    return reports
