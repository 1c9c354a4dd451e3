"""The snapshots of a shard in memory: written whole or not at all, the two newest kept.

States go through the same encoding as on a real disk, so that a restored one shares nothing with
the replica that it was taken from.
"""

from collections.abc import Mapping
from typing import Any

from rtes.common.journal import Point
from rtes.common.records import encode
from rtes.common.snapshots import KEPT, Snapshot


class FakeSnapshots:
    """What rtes.common.snapshots keeps in a directory."""

    def __init__(self) -> None:
        self.written = 0
        self._kept: list[tuple[Point, int, dict[str, bytes]]] = []

    def write(self, point: Point, time_ns: int, parts: Mapping[str, Any]) -> None:
        self._kept.append((point, time_ns, {part: encode(s) for part, s in parts.items()}))
        del self._kept[:-KEPT]
        self.written += 1

    def newest(self, *parts: str) -> list[Snapshot] | None:
        """The parts of the newest snapshot."""
        if not self._kept:
            return None
        point, time_ns, states = self._kept[-1]
        return [Snapshot(point, time_ns, states[part]) for part in parts]
