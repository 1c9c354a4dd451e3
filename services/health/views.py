"""The answers of the HTTP endpoints, made from a report. Pure.

Not alive, not ready, not started and unhealthy are 503, degraded is 200. Every answer carries the
version and the start of this instance, so that a deployment can tell it from the one before.
"""

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtes.services.health.core import Report, ServiceReport, Status
from rtes.services.health.metrics import render


@dataclass(frozen=True)
class Response:
    status: int
    content_type: str
    body: bytes


def respond(path: str, report: Report, instance: Mapping[str, Any]) -> Response:
    """Answer a GET of path. instance says which process answers: version, pid, start_time."""
    match path:
        case "/health":
            return _json(report.status is not Status.UNHEALTHY, _health(report), instance)
        case "/ready":
            missing = {"waiting_for": _waiting(report)} if not report.ready else {}
            return _json(report.ready, {"ready": report.ready, **missing}, instance)
        case "/live":
            return _json(report.live, {"alive": report.live}, instance)
        case "/startup":
            missing = {"waiting_for": _waiting(report)} if not report.started else {}
            return _json(report.started, {"started": report.started, **missing}, instance)
        case "/version":
            return _json(True, {}, instance)
        case "/metrics":
            return Response(200, "text/plain; version=0.0.4", render(report, instance))
        case "/":
            return Response(200, "text/html; charset=utf-8", _page(report, instance).encode())
        case _:
            body = {"error": "see /, /health, /ready, /live, /startup, /metrics, /version"}
            return Response(404, "application/json", json.dumps(body).encode() + b"\n")


def _json(ok: bool, body: dict[str, Any], instance: Mapping[str, Any]) -> Response:
    text = json.dumps({**body, **instance}, indent=2) + "\n"
    return Response(200 if ok else 503, "application/json", text.encode())


def _health(report: Report) -> dict[str, Any]:
    return {"status": report.status, "services": [_service(s) for s in report.services]}


def _service(s: ServiceReport) -> dict[str, Any]:
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
            "age_s": round(s.age_ns / 1e9, 3),
            "checks": {
                name: {"ok": c.ok, "detail": c.detail} for name, c in s.snapshot.checks.items()
            },
        }
    return answer


def _waiting(report: Report) -> list[str]:
    return [
        f"{s.service} {s.shard}: {'; '.join(s.why)}"
        for s in report.services
        if s.status is Status.UNHEALTHY
    ]


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 56rem; padding: 0 1rem;
       color-scheme: light dark }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #8884 }
.healthy { color: #1a7f37 } .degraded { color: #9a6700 } .unhealthy { color: #cf222e }
"""


def _page(report: Report, instance: Mapping[str, Any]) -> str:
    rows = "".join(_row(s) for s in report.services)
    links = " ".join(
        f'<a href="/{name}">{name}</a>'
        for name in ("health", "ready", "live", "startup", "metrics", "version")
    )
    about = html.escape(", ".join(f"{name} {value}" for name, value in instance.items()))
    return (
        f'<!doctype html><html lang="en"><meta http-equiv="refresh" content="2">'
        f"<title>RTES: {report.status}</title><style>{_STYLE}</style>"
        f'<h1>RTES is <span class="{report.status}">{report.status}</span></h1>'
        f"<table><tr><th>service<th>status<th>pid<th>checks</tr>{rows}</table>"
        f"<p>{links}</p><p><small>{about}</small></p></html>\n"
    )


def _row(s: ServiceReport) -> str:
    checks = {} if s.snapshot is None else s.snapshot.checks
    told = s.why or [f"{name}: {c.detail}" for name, c in checks.items()]
    pid = "" if s.snapshot is None else s.snapshot.pid
    return (
        f'<tr><td>{html.escape(s.service)} {s.shard}<td class="{s.status}">{s.status}'
        f"<td>{pid}<td>{html.escape('; '.join(told))}</tr>"
    )
