"""The answers of the HTTP endpoints, made from a report. Pure.

Not alive, not ready, not started and unhealthy are 503, degraded is 200. Every answer carries the
version and the start of this instance, so that a deployment can tell it from the one before. Who
is not authorized learns the outcome of a probe and nothing else.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from rtes.common.checks import HealthStatus, standing_of
from rtes.common.httpserver import Request, Response
from rtes.services.health.core import Reading, Report, ServiceReport
from rtes.services.health.metrics import CONTENT_TYPE, render

HEALTH_JSON: Final = "application/health+json"
_PATHS: Final = "/dashboard, /health, /ready, /live, /startup, /metrics, /version"
_PASS: Final = {
    HealthStatus.HEALTHY: "pass",
    HealthStatus.DEGRADED: "warn",
    HealthStatus.UNHEALTHY: "fail",
}


def respond(request: Request, report: Report, instance: Mapping[str, Any]) -> Response:
    """Answer a GET. instance says which process answers: version, pid, start_time."""
    path, told = request.path, request.authorized
    match path:
        case "/ready":
            return _json(report.ready, _probe("ready", report.ready, report, told), instance)
        case "/live":
            return _json(report.live, {"alive": report.live}, instance)
        case "/startup":
            body = _probe("started", report.started, report, told)
            return _json(report.started, body, instance)
        case "/health" if not told:
            ok = report.status is not HealthStatus.UNHEALTHY
            return _json(ok, {"status": report.status}, instance)
        case "/version":
            return _json(True, {}, instance)
    if request.refusal:
        return Response(403, "text/plain", f"{request.refusal}\n".encode())
    if not told:
        text = b"this needs security.http_token, as Bearer token or as the password\n"
        return Response(401, "text/plain", text)
    if path == "/metrics":
        return Response(200, CONTENT_TYPE, render(report, instance))
    if path == "/health" and HEALTH_JSON in request.accept:
        return _health_json(report, instance)
    if path == "/health" or path.startswith("/health/"):
        return _health(report, instance, path.removeprefix("/health").strip("/"))
    body = {"error": f"there is no {path[:100]}; see {_PATHS}"}
    return Response(404, "application/json", json.dumps(body).encode() + b"\n")


def _json(ok: bool, body: dict[str, Any], instance: Mapping[str, Any]) -> Response:
    text = json.dumps({**body, **instance}, indent=2) + "\n"
    return Response(200 if ok else 503, "application/json", text.encode())


def _probe(name: str, ok: bool, report: Report, told: bool) -> dict[str, Any]:
    return {name: ok} if ok or not told else {name: ok, "waiting_for": _waiting(report)}


def _waiting(report: Report) -> list[str]:
    if not report.live:
        return ["health 0: its own loop stands still"]
    return [
        f"{s.service} {s.shard}: {'; '.join(s.why)}"
        for s in report.services
        if s.status is HealthStatus.UNHEALTHY
    ]


def _health(report: Report, instance: Mapping[str, Any], group: str) -> Response:
    """All services and checks, or the checks of one group."""
    if not group:
        body = {"status": report.status, "services": [service_tree(s) for s in report.services]}
        return _json(report.status is not HealthStatus.UNHEALTHY, body, instance)
    checks = {
        f"{s.service}:{s.shard}:{name}": c
        for s in report.services
        if s.snapshot is not None
        for name, c in s.snapshot.checks.items()
        if group in c.groups
    }
    if not checks:
        body = {"error": f"no check is in a group named {group[:100]}; see /health"}
        return Response(404, "application/json", json.dumps(body).encode() + b"\n")
    status = standing_of((c.status, c.critical) for c in checks.values())
    if not report.live:
        status = HealthStatus.UNHEALTHY
    trees = {name: check_tree(c) for name, c in checks.items()}
    ok = status is not HealthStatus.UNHEALTHY
    return _json(ok, {"status": status, "checks": trees}, instance)


def service_tree(s: ServiceReport) -> dict[str, Any]:
    """A service as /health and the page show it."""
    answer: dict[str, Any] = {
        "service": s.service,
        "shard": s.shard,
        "status": s.status,
        "critical": s.critical,
        "why": s.why,
    }
    if s.snapshot is not None and s.age_ns is not None:
        answer |= {
            "ready": s.snapshot.ready,
            "pid": s.snapshot.pid,
            "version": s.snapshot.version,
            "deployment": s.snapshot.deployment,
            "start_s": round(s.snapshot.start_ns / 1e9, 3),
            "age_s": round(s.age_ns / 1e9, 3),
            "checks": {name: check_tree(c) for name, c in s.snapshot.checks.items()},
        }
    return answer


def check_tree(c: Reading) -> dict[str, Any]:
    """A check as /health and the page show it."""
    tree: dict[str, Any] = {"status": c.status, "detail": c.detail, "critical": c.critical}
    return tree | {"groups": c.groups} if c.groups else tree


def _health_json(report: Report, instance: Mapping[str, Any]) -> Response:
    """The same in the format of draft-inadarei-api-health-check."""
    checks: dict[str, list[dict[str, Any]]] = {}
    for s in report.services:
        node = f"{s.service}-{s.shard}"
        told = {} if s.snapshot is None else s.snapshot.checks
        entry = {"componentId": node, "componentType": "component", "status": _PASS[s.status]}
        if s.why:
            entry["output"] = "; ".join(s.why)
        checks.setdefault(s.service, []).append(entry)
        for name, c in told.items():
            reading = {"componentId": node, "status": _PASS[c.status], "output": c.detail}
            checks.setdefault(f"{s.service}:{name}", []).append(reading)
    body = {
        "status": _PASS[report.status],
        "releaseId": instance["version"],
        "serviceId": "rtes",
        "checks": checks,
    }
    code = 503 if report.status is HealthStatus.UNHEALTHY else 200
    return Response(code, HEALTH_JSON, json.dumps(body, indent=2).encode() + b"\n")
