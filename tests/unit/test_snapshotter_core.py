"""How the snapshotter works off a journal that grows faster than it can follow."""

from collections.abc import Iterator
from typing import Any

from rtes.common import feed
from rtes.common.blocks import StoredBlock
from rtes.services.snapshotter.core import (
    BEHIND_REST_S,
    COMMANDS_PER_STEP,
    FEED,
    REST_S,
    Replicas,
    SnapshotterCore,
)

BLOCK = COMMANDS_PER_STEP * 3 // 5  # commands
BLOCKS = 5


class Counting(Replicas):
    """Counts blocks instead of executing them."""

    def __init__(self) -> None:
        self.executed = 0

    def execute(self, _payload: bytes) -> int:
        self.executed += 1
        return 0


def blocks_from(seq: int) -> Iterator[tuple[StoredBlock, bytes]]:
    for i in range(BLOCKS):
        if (i + 1) * BLOCK >= seq:
            yield StoredBlock(0, 1, i * BLOCK + 1, BLOCK, i, 0, 0), b""


def never(*_: Any) -> None:
    raise AssertionError("no snapshot is due")


def test_it_takes_short_turns_and_longer_rests_once_it_has_caught_up() -> None:
    replicas = Counting()
    core = SnapshotterCore(replicas, blocks_from, never, commands_max=10**9, interval_ns=10**18)
    head = BLOCKS * BLOCK - 1  # the last block is written, but not released yet
    core.receive(FEED, [feed.status_frame(0, 1, head, [])], 0, 0)
    seen = []
    for _ in range(3):
        core.flush(0, 0)
        seen.append((replicas.executed, *core.rest()))
    assert seen == [(2, BEHIND_REST_S, True), (4, REST_S, False), (4, REST_S, False)]
    core.receive(FEED, [feed.status_frame(0, 1, head + 1, [])], 0, 0)
    core.flush(0, 0)
    assert (replicas.executed, *core.rest()) == (BLOCKS, REST_S, False)
