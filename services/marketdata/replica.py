"""Executes the matcher's blocks again, command by command, and checks that they come out alike.

Invariants: every block is executed whole, in order, once; what the matcher told and what the
replica tells are the same bytes, else InvariantError. Market data is derived between commands,
because only there is a book what the next command meets.
"""

from collections.abc import Callable
from typing import Final

from rtes.common.invariant import invariant
from rtes.common.messages import ExecutionReport
from rtes.common.records import Block, Notice
from rtes.services.matcher.engine import Engine
from rtes.services.matcher.reporter import Event

_POSITION: Final = {name: i for i, name in enumerate(ExecutionReport.__struct_fields__, start=1)}
R_EXEC_TYPE: Final = _POSITION["exec_type"]
R_SIDE: Final = _POSITION["side"]
R_LAST_QTY: Final = _POSITION["last_qty"]
R_LAST_PX: Final = _POSITION["last_px"]
R_TRD_MATCH_ID: Final = _POSITION["trd_match_id"]
R_LIQUIDITY: Final = _POSITION["last_liquidity_ind"]

Tell = Callable[[int, list[Event], list[Notice]], None]  # time_ns, what orders did, notices


class Replica:
    """A second engine that must do as the first."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._next_seq = 1
        engine.watch()

    def resume(self, next_seq: int) -> None:
        """The engine has taken in a state: the next block starts at next_seq."""
        self._next_seq = next_seq

    def execute(self, block: Block, tell: Tell) -> None:
        """Tell after each command what it did. Raises InvariantError after the last command when
        the block comes out differently than the matcher says."""
        invariant(block.first_seq == self._next_seq, "a block is missing or comes twice")
        engine = self._engine
        seq, time_ns = block.first_seq, block.time_ns
        for _lane, _epoch, _link, _n, commands, verdicts in block.groups:
            refused = {v[0]: v for v in verdicts}
            for i, command in enumerate(commands):
                engine.apply(command, refused.get(i), seq, time_ns)
                events, notices = engine.changes()
                tell(time_ns, events, notices)
                seq += 1
                time_ns += 1
        invariant(seq == block.first_seq + block.commands, "a block does not hold its commands")
        self._next_seq = seq
        same = engine.take() == (block.chunks, block.notices)
        invariant(same, f"the replica diverged from the matcher in the block at {block.first_seq}")
