"""The page at /dashboard: one file of HTML, its past at /history, its present at /events.

An alert leads to its runbook at /runbooks/NAME. The poll loop writes and the server's thread
reads, under one lock. The books are asked for only while somebody looks.
"""

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from rtes.common.httpserver import Response
from rtes.common.refdata import Instrument
from rtes.services.health.alerts import Alerts
from rtes.services.health.books import Books
from rtes.services.health.core import Key, Report, Snapshot
from rtes.services.health.history import History
from rtes.services.health.views import service_tree

LOOKED_AT_NS: Final = 5_000_000_000
BOOKS_INTERVAL_NS: Final = 1_000_000_000
RUNBOOKS: Final = "/runbooks/"
_HTML: Final = Path(__file__).with_name("dashboard.html")
_encode = msgspec.json.Encoder().encode


class Page:
    """What the page shows."""

    def __init__(self, instruments: Iterable[Instrument], runbooks: Path) -> None:
        """runbooks: the directory of their files."""
        self._html = _HTML.read_bytes()
        self._runbooks = {path.stem: path for path in runbooks.glob("*.md")}
        self._history = History()
        self._alerts = Alerts()
        self._shown: list[dict[str, Any]] = []
        self._deployment: dict[str, Any] = {}
        self._books = Books(instruments)
        self._lock = threading.Lock()
        self._looks = 0  # events told so far
        self._looks_seen = 0
        self._looked_ns = -LOOKED_AT_NS
        self._asked_ns = 0

    def second(
        self,
        heard: Mapping[Key, Snapshot],
        report: Report,
        busy: float,
        deployment: dict[str, Any],
        wall_s: float,
    ) -> None:
        """Called about once a second by the poll loop. busy: share of the last minute's orders;
        deployment: as its record tells, empty when there is none."""
        with self._lock:
            self._history.second(heard, report, wall_s)
            self._shown = self._alerts.second(heard, report, busy, wall_s)
            self._deployment = deployment

    def answer(self, path: str) -> Response | None:
        """The page itself, its past, and a runbook; None for any other path."""
        if path in ("/", "/dashboard"):
            return Response(200, "text/html; charset=utf-8", self._html)
        if path == "/history":
            with self._lock:
                return Response(200, "application/json", _encode(list(self._history.points)))
        if (runbook := self._runbooks.get(path.removeprefix(RUNBOOKS))) is not None:
            return Response(200, "text/plain; charset=utf-8", runbook.read_bytes())
        return None

    def event(self, report: Report, instance: Mapping[str, Any]) -> bytes:
        """The present, as one line of JSON."""
        self._looks += 1
        with self._lock:
            points, changes = self._history.points, list(self._history.changes)
            tree = {
                "status": report.status,
                "ready": report.ready,
                "live": report.live,
                "instance": instance,
                "services": [service_tree(s) for s in report.services],
                "figures": _figures(report),
                "point": points[-1] if points else None,
                "alerts": self._shown,
                "deployment": self._deployment,
                "changes": changes,
                "books": self._books.tree(),
            }
            return _encode(tree)

    def requests(self, now_ns: int) -> list[tuple[int, bytes]]:
        """What to ask the snapshot service now."""
        if self._looks != self._looks_seen:
            self._looks_seen, self._looked_ns = self._looks, now_ns
        looked_at = now_ns - self._looked_ns < LOOKED_AT_NS
        if not looked_at or now_ns - self._asked_ns < BOOKS_INTERVAL_NS:
            return []
        self._asked_ns = now_ns
        return self._books.requests()

    def take(self, frames: Iterable[bytes]) -> None:
        """The snapshot service's answers."""
        with self._lock:
            for frame in frames:
                self._books.take(frame)


def _figures(report: Report) -> dict[str, float]:
    """Gauges by name, added up over services; counters since the start of each service."""
    figures: dict[str, float] = {}
    for s in report.services:
        for values in (s.snapshot.gauges, s.snapshot.counters) if s.snapshot else ():
            for name, value in values.items():
                figures[name] = figures.get(name, 0.0) + value
    return figures
