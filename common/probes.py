"""Probes of one service by itself, for a container that runs nothing else: --probe-port.

/live is the age of the service's own loop, /startup whether it has been ready (a matcher replays
its journal first), /ready whether it is now and no critical check is unhealthy, /health what it
reports to the aggregator. They are answered in a thread that only reads the last report.
"""

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from rtes.common.checks import HealthStatus, standing_of
from rtes.common.httpserver import Request, Response

LOOP_AGE_NS_MAX: Final = 2_000_000_000


class LastReport(NamedTuple):
    """What the loop reported last, and when (monotonic)."""

    at_ns: int
    snapshot: dict[str, Any]


class ServiceProbes:
    """Answers for one service. Before its loop runs it is alive and not started."""

    def __init__(self, service: str, monotonic_ns: Callable[[], int]) -> None:
        self._service = service
        self._monotonic_ns = monotonic_ns
        self._last: LastReport | None = None
        self._started = False

    def told(self, snapshot: dict[str, Any]) -> None:
        """The loop's report."""
        self._last = LastReport(self._monotonic_ns(), snapshot)
        self._started = self._started or bool(snapshot["ready"])

    def answer(self, request: Request) -> Response:
        """Answer a GET."""
        last, age_ns = self._last, 0
        if last is not None:
            age_ns = self._monotonic_ns() - last.at_ns
        live = age_ns <= LOOP_AGE_NS_MAX
        status = _status(last) if live else HealthStatus.UNHEALTHY
        well = status is not HealthStatus.UNHEALTHY
        match request.path:
            case "/live":
                return self._json(live, {"alive": live, "loop_age_s": age_ns / 1e9})
            case "/startup":
                return self._json(self._started, {"started": self._started})
            case "/ready":
                return self._json(well, {"ready": well})
            case "/health":
                checks = {} if last is None else last.snapshot["checks"]
                return self._json(well, {"status": status, "checks": checks})
        body = {"error": "see /health, /ready, /live, /startup"}
        return Response(404, "application/json", json.dumps(body).encode() + b"\n")

    def _json(self, ok: bool, body: dict[str, Any]) -> Response:
        text = json.dumps({**body, "service": self._service}) + "\n"
        return Response(200 if ok else 503, "application/json", text.encode())


def _status(last: LastReport | None) -> HealthStatus:
    if last is None or not last.snapshot["ready"]:
        return HealthStatus.UNHEALTHY
    checks = last.snapshot["checks"].values()
    return standing_of((HealthStatus(c["status"]), c["critical"]) for c in checks)
