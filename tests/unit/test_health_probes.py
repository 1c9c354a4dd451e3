"""Probes of a single service: what they say of its last report and its age."""

import json
from typing import Any

from rtes.common.httpserver import Request
from rtes.common.probes import LOOP_AGE_NS_MAX, ServiceProbes


class Now:
    ns = 0


def probes(*snapshots: dict[str, Any]) -> tuple[ServiceProbes, Now]:
    now = Now()
    made = ServiceProbes("risk", lambda: now.ns)
    for snapshot in snapshots:
        made.told(snapshot)
    return made, now


def report(ready: bool, status: str = "healthy", critical: bool = True) -> dict[str, Any]:
    return {"ready": ready, "checks": {"feed": {"status": status, "critical": critical}}}


def get(served: ServiceProbes, path: str) -> int:
    response = served.answer(Request(path))
    assert json.loads(response.body)
    return response.status


def test_before_its_loop_runs_it_lives_and_has_not_started() -> None:
    served, _ = probes()
    assert [get(served, p) for p in ("/live", "/startup", "/ready")] == [200, 503, 503]


def test_once_started_it_stays_started() -> None:
    served, _ = probes(report(True), report(False))
    assert [get(served, p) for p in ("/live", "/startup", "/ready")] == [200, 200, 503]


def test_only_a_critical_check_makes_it_unready() -> None:
    assert get(probes(report(True, "unhealthy", critical=False))[0], "/ready") == 200
    assert get(probes(report(True, "unhealthy"))[0], "/ready") == 503


def test_a_loop_that_stands_still_is_neither_alive_nor_ready() -> None:
    served, now = probes(report(True))
    now.ns = LOOP_AGE_NS_MAX
    assert [get(served, p) for p in ("/live", "/ready", "/health")] == [200, 200, 200]
    now.ns += 1
    assert [get(served, p) for p in ("/live", "/ready", "/health")] == [503, 503, 503]
    assert get(served, "/startup") == 200


def test_another_path_says_which_there_are() -> None:
    assert get(probes()[0], "/metrics") == 404
