"""What health concludes from snapshots, and what it answers."""

import json
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from rtes.common.checks import HealthStatus
from rtes.common.config import load
from rtes.common.histogram import Histogram
from rtes.common.httpserver import Request, Response
from rtes.services.health.core import (
    LOOP_AGE_NS_MAX,
    SILENT_NS_MAX,
    Health,
    Reading,
    Snapshot,
    expected_services,
)
from rtes.services.health.views import HEALTH_JSON, respond

S = 1_000_000_000
EXPECTED = {("gateway", 0): True, ("matcher", 0): True, ("marketdata", 0): False}
INSTANCE = {"version": "1.2.3", "pid": 1}
OWN = Snapshot("health", 0, 1, 0, True)


def snapshot(service: str, *, ready: bool = True, start_ns: int = 0, **more: Any) -> bytes:
    tree = {"service": service, "shard": 0, "pid": 7, "start_ns": start_ns, "ready": ready}
    return msgspec.msgpack.encode(tree | more)


def check(status: str, detail: str = "", critical: bool = False, **more: Any) -> dict[str, Any]:
    return {"status": status, "detail": detail, "critical": critical, **more}


def heard(*frames: bytes, now_ns: int = 0) -> Health:
    health = Health(EXPECTED)
    health.poll([snapshot(s) for s, _ in EXPECTED], now_ns)
    health.poll(frames, now_ns)
    return health


def ask(
    health: Health, path: str, now_ns: int = 0, *, own: Snapshot = OWN, **more: Any
) -> Response:
    return respond(Request(path, **more), health.report(now_ns, own), INSTANCE)


def get(health: Health, path: str, now_ns: int = 0, **more: Any) -> tuple[int, dict[str, Any]]:
    response = ask(health, path, now_ns, **more)
    return response.status, json.loads(response.body)


def test_before_anything_is_heard_it_lives_and_is_not_ready() -> None:
    health = Health(EXPECTED)
    assert get(health, "/live")[0] == 200
    assert get(health, "/startup")[0] == 503
    status, body = get(health, "/ready")
    assert status == 503
    assert body["ready"] is False
    assert "gateway 0: not heard of yet" in body["waiting_for"]


def test_all_ready_is_healthy() -> None:
    health = heard()
    assert get(health, "/health")[1]["status"] == "healthy"
    for path in ("/health", "/ready", "/live", "/startup", "/version"):
        status, body = get(health, path)
        assert status == 200
        assert body["version"] == "1.2.3"


def test_silence_is_unhealthy_whatever_was_said_before() -> None:
    health = heard()
    assert health.report(SILENT_NS_MAX, OWN).status == "healthy"
    health.poll([snapshot("gateway"), snapshot("marketdata")], SILENT_NS_MAX)
    report = health.report(SILENT_NS_MAX + 1, OWN)
    assert report.status == "unhealthy"
    assert not report.ready
    assert [s.why for s in report.services if s.service == "matcher"] == [["silent for 1.5 s"]]


def test_a_critical_service_that_is_not_ready_makes_the_exchange_unready() -> None:
    health = heard(snapshot("matcher", ready=False))
    assert get(health, "/health")[0] == 503
    assert get(health, "/ready")[0] == 503
    assert get(health, "/startup")[0] == 200  # it had started


def test_market_data_down_degrades_only() -> None:
    health = heard(snapshot("marketdata", ready=False))
    assert get(health, "/health")[0] == 200
    assert get(health, "/health")[1]["status"] == "degraded"
    assert get(health, "/ready")[0] == 200


def test_an_unhealthy_check_degrades_and_a_critical_one_makes_unready() -> None:
    for critical, code, status in ((False, 200, "degraded"), (True, 503, "unhealthy")):
        checks = {"breaker": check("unhealthy", "open", critical)}
        health = heard(snapshot("gateway", checks=checks))
        answered, body = get(health, "/health")
        assert (answered, body["status"]) == (code, status)
        assert body["services"][0]["why"] == ["breaker: open"]
        assert get(health, "/ready")[0] == code


def test_a_degraded_critical_check_degrades() -> None:
    checks = {"order_book": check("degraded", "1,000,001 orders", critical=True)}
    assert get(heard(snapshot("matcher", checks=checks)), "/health")[1]["status"] == "degraded"


def test_healths_own_checks_count() -> None:
    refused = Reading(HealthStatus.UNHEALTHY, "refused", critical=True)
    own = msgspec.structs.replace(OWN, checks={"network": refused})
    status, body = get(heard(), "/ready", own=own)
    assert (status, body["waiting_for"]) == (503, ["health 0: network: refused"])


def test_a_sick_service_never_makes_the_aggregator_dead_but_its_own_loop_does() -> None:
    report = heard(snapshot("matcher", ready=False)).report(0, OWN)
    for now_ns, code in ((LOOP_AGE_NS_MAX, 200), (LOOP_AGE_NS_MAX + 1, 503)):
        response = respond(Request("/live"), report.read_at(now_ns), INSTANCE)
        assert response.status == code


def test_nothing_good_is_told_from_an_old_report() -> None:
    report = heard().report(0, OWN).read_at(LOOP_AGE_NS_MAX + 1)
    for path in ("/health", "/ready", "/live"):
        assert respond(Request(path), report, INSTANCE).status == 503


def test_the_last_words_of_a_replaced_instance_are_ignored() -> None:
    health = heard(snapshot("matcher", start_ns=2), snapshot("matcher", ready=False, start_ns=1))
    assert health.report(0, OWN).ready


def test_malformed_snapshots_are_counted_and_survived() -> None:
    health = heard(b"\xc1", msgspec.msgpack.encode({"service": 1}), b"")
    assert health.report(0, OWN).malformed == 3
    assert health.report(0, OWN).status == "healthy"


def test_services_without_end_are_not_kept() -> None:
    health = heard(*(snapshot(f"x{i}") for i in range(1000)))
    assert len(health.report(0, OWN).services) == 256 + 1


def samples(response: Response) -> dict[tuple[str, ...], float]:
    """Values by name and the labels besides service and shard."""
    families = text_string_to_metric_families(response.body.decode())
    return {
        (s.name, *(v for k, v in s.labels.items() if k not in ("service", "shard"))): s.value
        for f in families
        for s in f.samples
    }


def test_metrics_are_prometheus_text() -> None:
    counters = {"rtes_orders_total.taken": 3, "rtes_orders_total.busy": 1, "bad name": 1}
    refused = {"rtes_orders_rejected_total.PRICE_BAND": 2}
    gateway = snapshot("gateway", counters=counters | refused, gauges={"rtes_sessions": 2})
    response = ask(heard(gateway), "/metrics")
    assert response.content_type.startswith("text/plain")
    values = samples(response)
    assert values["rtes_orders_total", "taken"] == 3
    assert values["rtes_orders_total", "busy"] == 1
    assert values["rtes_orders_rejected_total", "PRICE_BAND"] == 2
    assert values["rtes_sessions",] == 2
    assert not any("bad" in name for name, *_ in values)
    assert b'code="PRICE_BAND"' in response.body


def test_histograms_become_prometheus_histograms() -> None:
    took = Histogram()
    took.observe(1_000_000, 3)
    told = {"rtes_order_latency_seconds.risk": took.wire()}
    values = samples(ask(heard(snapshot("risk", histograms=told)), "/metrics"))
    assert values["rtes_order_latency_seconds_count", "risk"] == 3
    assert values["rtes_order_latency_seconds_sum", "risk"] == 0.003
    name = "rtes_order_latency_seconds_bucket"
    buckets = {min(k[1:]): v for k, v in values.items() if k[0] == name}  # le before "risk"
    assert {v for le, v in buckets.items() if le != "+Inf" and float(le) < 1e-3} == {0}
    assert buckets["+Inf"] == 3


def test_metrics_leave_out_what_is_old() -> None:
    health = heard(snapshot("gateway", gauges={"rtes_sessions": 2}))
    assert b"rtes_sessions{" in ask(health, "/metrics").body
    assert b"rtes_sessions{" not in ask(health, "/metrics", 3 * S).body


def test_health_json_on_request() -> None:
    checks = {"feed": check("unhealthy", "behind")}
    health = heard(snapshot("marketdata", checks=checks))
    response = ask(health, "/health", accept=HEALTH_JSON)
    body = json.loads(response.body)
    assert (response.status, response.content_type) == (200, HEALTH_JSON)
    assert (body["status"], body["releaseId"]) == ("warn", "1.2.3")
    assert body["checks"]["marketdata:feed"][0]["status"] == "fail"
    assert body["checks"]["marketdata:feed"][0]["output"] == "behind"


def test_a_group_of_checks() -> None:
    checks = {
        "net": check("degraded", groups=["network"]),
        "book": check("unhealthy", critical=True),
    }
    health = heard(snapshot("gateway", checks=checks))
    status, body = get(health, "/health/network")
    assert (status, body["status"], list(body["checks"])) == (200, "degraded", ["gateway:0:net"])
    assert get(health, "/health/nothing")[0] == 404


def test_who_is_not_authorized_learns_the_outcome_and_nothing_else() -> None:
    health = heard(snapshot("matcher", ready=False))
    for path, body in (("/health", {"status": "unhealthy"}), ("/ready", {"ready": False})):
        assert get(health, path, authorized=False) == (503, body | INSTANCE)
    for path in ("/metrics", "/health/network", "/dashboard", "/events", "/x"):
        assert ask(health, path, authorized=False).status == 401


def test_an_unknown_path_says_which_there_are() -> None:
    status, body = get(heard(), "/nothing")
    assert status == 404
    assert "/ready" in body["error"]


def test_the_configuration_says_which_services_to_expect() -> None:
    config = load("dev", {"RTES__MESH__GATEWAYS": "2"})
    expected = expected_services(config)
    assert expected["gateway", 1]
    assert not expected["marketdata", 0]
