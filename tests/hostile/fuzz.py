"""Throws frames at the gateway's real core, with the real risk and matcher behind it.

Whatever comes: nothing raises, every answer can be read, every queue stays within its number, and
memory stays flat once everything that is remembered is full. Time passes as bans and silence need
it, so that strangers, pending, open, throttled, banned and closed sessions all get their share.
"""

import random
import time
import traceback
from collections import Counter
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any, Final

from rtes.common import messages as m
from rtes.common.connections import CUT_OFF, HANG_UP
from rtes.common.refusals import Code
from rtes.services.gateway.limits import GatewayLimits

from tests.hostile.edge import Edge, unpacked
from tests.hostile.mutations import Mutator

LIMITS: Final = GatewayLimits(8, 60, 2_000, lane_window=40)
CONNECTIONS: Final = tuple(f"{name}{i}" for name in ("ANN", "BOB", "CAT") for i in range(2))
WARM_SHARE: Final = 0.1  # of the frames; by then rings and caches are full
CHECK_FRAMES: Final = 1_000
MS: Final = 1_000_000


class FuzzEdge(Edge):
    """Reads every answer, keeps none."""

    limits = LIMITS

    def __init__(self) -> None:
        self.codes: Counter[int] = Counter()
        self.ended: set[bytes] = set()
        super().__init__(self.limits)

    @property
    def open(self) -> Container[bytes]:
        """Routing ids with a session."""
        return self.gateway._sessions.by_routing_id

    def _tell(self, routing_id: bytes, frame: bytes) -> None:
        if frame in (HANG_UP, CUT_OFF):
            self.ended.add(routing_id)
            return
        for message in unpacked(frame):
            self.codes[getattr(message, "reject_code", 0)] += 1


def rss_kib(pid: int | str = "self") -> int:
    """Memory of a process now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


class Fuzz:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.unhandled: list[str] = []
        self.codes: Counter[int] = Counter()
        self._mutator = Mutator(seed)
        self._random = random.Random(seed + 1)
        self._edge = FuzzEdge()

    def run(self, frames: int, ticks: Iterable[int]) -> dict[str, Any]:
        """Send so many frames; ticks is range(frames), or what draws a progress bar over it."""
        began, warm_kib = time.perf_counter(), 0
        warm_at = int(frames * WARM_SHARE)
        for i in ticks:
            self._one()
            if i % CHECK_FRAMES == 0:
                self._check()
            if i == warm_at:
                warm_kib = rss_kib()
        self._check()
        self.codes.update(self._edge.codes)
        grown = (rss_kib() - warm_kib) / warm_kib * 100 if warm_kib else 0.0
        return {
            "frames": frames,
            "seed": self.seed,
            "seconds": round(time.perf_counter() - began, 1),
            "unhandled": len(self.unhandled),
            "rss_growth_percent": round(grown, 2),
            "rss_kib": rss_kib(),
            "commands": self._edge.matcher.next_seq - 1,
            "told": {_name(code): n for code, n in sorted(self.codes.items())},
        }

    def _one(self) -> None:
        edge, roll = self._edge, self._random.random
        name = CONNECTIONS[int(roll() * len(CONNECTIONS))]
        key = name[:-1] if roll() < 0.999 else "CAT"  # now and then another key's frame
        frame = self._mutator.frame()
        if edge.stopped and roll() < 0.5:  # only what is well said can fill a lane
            frame = self._mutator.burst()
        try:
            edge.now_ns += int(roll() * 2 * MS)
            if roll() < 0.2 and name.encode() not in edge.open:
                edge.send(name.encode(), f"key of {name[:-1]}", m.Logon(name[:-1]))
            edge.send(name.encode(), f"key of {key}", frame)
            if roll() < 0.001:
                edge.send(name.encode(), "", None)  # the connection is lost
            if roll() < 0.01:
                edge.pass_time(0.05)
            if roll() < 0.001:  # what is behind the gateway stands still for a while
                if edge.stopped:
                    edge.go_on()
                else:
                    edge.stopped = True
            if len(edge.ended) > 3 or roll() < 0.0002:  # bans end, the silent are closed
                edge.ended.clear()
                edge.pass_time(31)
                edge.pass_time(31)
        except Exception:
            self.unhandled.append(f"{frame.hex()}\n{traceback.format_exc()}")
            self.codes.update(edge.codes)
            self._edge = FuzzEdge()

    def _check(self) -> None:
        """Every queue is within its number."""
        gauges = self._edge.gateway.vitals().gauges
        most = LIMITS.lane_window + LIMITS.sessions_max
        if gauges["rtes_queue_depth"] > most or gauges["rtes_sessions"] > LIMITS.sessions_max:
            self.unhandled.append(f"a queue grew: {gauges}")


def _name(code: int) -> str:
    return Code(code).name.lower() if code in list(Code) else str(code)
