"""Sequence continuity across services: nobody knows what the matcher has not executed. Pure.

Snapshots are taken at different moments, so a matcher's is compared with what was known when its
one before arrived: that is surely older. A matcher that is behind it has lost outcomes that were
told.
"""

from collections.abc import Mapping
from typing import Final

from rtes.common.checks import Result, healthy_if
from rtes.services.health.core import Key, Snapshot

GAUGE: Final = "rtes_sequence"


class SequenceContinuity:
    """Fed with every round of snapshots; a fault stays until the matcher is past it again."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, str]] = {}  # by shard: the highest number, and whose
        self._fence: dict[int, tuple[float, str]] = {}  # the same, when the matcher last spoke
        self._last: dict[int, Snapshot] = {}
        self._faults: dict[int, str] = {}

    def take(self, heard: Mapping[Key, Snapshot]) -> None:
        """The services' last snapshots."""
        for (service, shard), snapshot in heard.items():
            if service == "matcher" and self._last.get(shard) is not snapshot:
                self._last[shard] = snapshot
                self._compare(shard, snapshot.gauges.get(GAUGE, 0.0))
        for (service, shard), snapshot in heard.items():
            seq = snapshot.gauges.get(GAUGE, 0.0)
            if seq > self._known.get(shard, (0.0, ""))[0]:
                self._known[shard] = seq, f"{service} {shard}"

    def _compare(self, shard: int, seq: float) -> None:
        fence, whose = self._fence.get(shard, (0.0, ""))
        self._faults.pop(shard, None)
        if seq < fence:
            self._faults[shard] = f"matcher {shard} is at {seq:.0f}, {whose} was at {fence:.0f}"
        self._fence[shard] = self._known.get(shard, (0.0, ""))

    def result(self) -> Result:
        """The check's result."""
        return healthy_if(not self._faults, "; ".join(self._faults.values()) or "gapless")
