"""Brings a matcher back: the newest snapshot, then the blocks after it, executed and compared.

A block that does not come out byte-identical means another release or damaged memory: the
matcher refuses to start rather than contradict what participants were told.
"""

from collections.abc import Iterable

from rtes.common.blocks import StoredBlock
from rtes.common.records import decode_block
from rtes.common.snapshots import Snapshot
from rtes.services.matcher.core import MatcherCore
from rtes.services.matcher.engine import Engine
from rtes.services.matcher.state import decode


class ReplayDivergedError(RuntimeError):
    """Re-execution gave another outcome than the journal holds."""


def restore(core: MatcherCore, engine: Engine, saved: Snapshot) -> None:
    """Take in a snapshot; core and its engine must be new."""
    engine.restore(decode(saved.state))
    core.resume(saved.point.seq + 1, saved.time_ns)


def recover(core: MatcherCore, journal: Iterable[tuple[StoredBlock, bytes]]) -> int:
    """Replay all blocks into core; returns how many commands they held.

    Raises ReplayDivergedError at the first block that comes out differently."""
    commands = 0
    for stored, payload in journal:
        if not core.replay(decode_block(payload)):
            raise ReplayDivergedError(
                f"block at seq {stored.first_seq} came out differently on replay; start the "
                f"release that wrote this journal, with the instruments it had, or move the "
                f"journal away to start empty"
            )
        commands += stored.commands
    return commands
