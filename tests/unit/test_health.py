"""What health concludes, what it answers, and that a bad client costs only itself."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rtes.common.config import load
from rtes.services.health import http
from rtes.services.health.core import Health, Status, expected_services
from rtes.services.health.http import Server
from rtes.services.health.views import Response, respond

S = 1_000_000_000
EXPECTED = {("gateway", 0): True, ("matcher", 0): True, ("marketdata", 0): False}
INSTANCE = {"version": "1.2.3", "pid": 1}


def snapshot(service: str, *, ready: bool = True, start_ns: int = 0, **more: Any) -> bytes:
    tree = {"service": service, "shard": 0, "pid": 7, "start_ns": start_ns, "ready": ready}
    return msgspec.msgpack.encode(tree | more)


def heard(*frames: bytes, now_ns: int = 0) -> Health:
    health = Health(EXPECTED, 0)
    health.poll([snapshot(s) for s, _ in EXPECTED], now_ns)
    health.poll(frames, now_ns)
    return health


def get(health: Health, path: str, now_ns: int = 0) -> tuple[int, dict[str, Any]]:
    response = respond(path, health.report(now_ns), INSTANCE)
    return response.status, json.loads(response.body)


def test_before_anything_is_heard_it_lives_and_is_not_ready() -> None:
    health = Health(EXPECTED, 0)
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
    assert health.report(2 * S).status is Status.HEALTHY
    health.poll([snapshot("gateway"), snapshot("marketdata")], 2 * S)
    report = health.report(2 * S + 1)
    assert report.status is Status.UNHEALTHY
    assert not report.ready
    assert [s.why for s in report.services if s.service == "matcher"] == [["silent for 2.0 s"]]


def test_a_critical_service_that_is_not_ready_makes_the_exchange_unready() -> None:
    health = heard(snapshot("matcher", ready=False))
    assert get(health, "/health") [0] == 503
    assert get(health, "/ready")[0] == 503
    assert get(health, "/startup")[0] == 200  # it had started


def test_market_data_down_degrades_only() -> None:
    health = heard(snapshot("marketdata", ready=False))
    assert get(health, "/health")[0] == 200
    assert get(health, "/health")[1]["status"] == "degraded"
    assert get(health, "/ready")[0] == 200


def test_a_failed_check_of_a_ready_service_degrades_only() -> None:
    checks = {"breaker": {"ok": False, "detail": "open"}}
    health = heard(snapshot("gateway", checks=checks))
    status, body = get(health, "/health")
    assert (status, body["status"]) == (200, "degraded")
    assert body["services"][0]["why"] == ["breaker: open"]
    assert get(health, "/ready")[0] == 200


def test_a_sick_service_never_makes_the_aggregator_dead_but_its_own_loop_does() -> None:
    health = heard(snapshot("matcher", ready=False))
    assert get(health, "/live", 2 * S)[0] == 200
    status, body = get(health, "/live", 2 * S + 1)
    assert (status, body["alive"]) == (503, False)


def test_the_last_words_of_a_replaced_instance_are_ignored() -> None:
    health = heard(snapshot("matcher", start_ns=2), snapshot("matcher", ready=False, start_ns=1))
    assert health.report(0).ready


def test_malformed_snapshots_are_counted_and_survived() -> None:
    health = heard(b"\xc1", msgspec.msgpack.encode({"service": 1}), b"")
    assert health.report(0).malformed == 3
    assert health.report(0).status is Status.HEALTHY


def test_services_without_end_are_not_kept() -> None:
    health = heard(*(snapshot(f"x{i}") for i in range(1000)))
    assert len(health.report(0).services) == 256


def test_metrics_are_prometheus_text() -> None:
    counters = {"rtes_orders_total.accepted": 3, "rtes_orders_total.refused": 1, "bad name": 1}
    health = heard(snapshot("gateway", counters=counters, gauges={"rtes_sessions": 2}))
    response = respond("/metrics", health.report(0), INSTANCE)
    assert response.content_type.startswith("text/plain")
    families = text_string_to_metric_families(response.body.decode())
    samples = {(s.name, s.labels.get("outcome", "")): s.value for f in families for s in f.samples}
    assert samples["rtes_orders_total", "accepted"] == 3
    assert samples["rtes_orders_total", "refused"] == 1
    assert samples["rtes_sessions", ""] == 2
    assert samples["rtes_build_info", ""] == 1
    assert not any("bad" in name for name, _ in samples)


def test_metrics_leave_out_what_is_old() -> None:
    health = heard(snapshot("gateway", gauges={"rtes_sessions": 2}))
    assert b"rtes_sessions{" in respond("/metrics", health.report(0), INSTANCE).body
    assert b"rtes_sessions{" not in respond("/metrics", health.report(3 * S), INSTANCE).body


def test_the_page_lists_services_and_escapes_what_they_say() -> None:
    checks = {"x": {"ok": False, "detail": "<script>"}}
    body = respond("/", heard(snapshot("gateway", checks=checks)).report(0), INSTANCE).body
    assert b"gateway 0" in body
    assert b"<script>" not in body


def test_an_unknown_path_says_which_there_are() -> None:
    status, body = get(heard(), "/nothing")
    assert status == 404
    assert "/ready" in body["error"]


def test_the_configuration_says_which_services_to_expect() -> None:
    config = load("dev", {"RTES__MESH__GATEWAYS": "2"})
    expected = expected_services(config)
    assert expected["gateway", 1]
    assert not expected["marketdata", 0]


Ask = Callable[[bytes], Awaitable[bytes]]


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def over_http(scenario: Callable[[Ask, int], Awaitable[None]]) -> None:
    """Run a scenario against a server; ask(request) returns all that comes back."""

    async def run() -> None:
        def answer(path: str) -> Response:
            return Response(200, "text/plain", path.encode())

        server = await Server(answer).listen("127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def ask(request: bytes) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            try:
                return await reader.read()
            except ConnectionResetError:
                return b""
            finally:
                await close(writer)

        async with server:
            await scenario(ask, port)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("request_", "status", "end"),
    [
        (b"GET /ready?x=1 HTTP/1.1\r\nHost: x\r\n\r\n", b"200", b"\r\n\r\n/ready"),
        (b"HEAD /ready HTTP/1.0\r\n\r\n", b"200", b"\r\n\r\n"),
        (b"POST / HTTP/1.1\r\n\r\n", b"405", b"only GET and HEAD\n"),
        (b"\x16\x03\x01\r\n\r\n", b"400", b"request\n"),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n", b"431", b"too large\n"),
    ],
)
def test_requests(request_: bytes, status: bytes, end: bytes) -> None:
    async def scenario(ask: Ask, _port: int) -> None:
        answer = await ask(request_)
        assert answer.split(b" ")[1] == status
        assert answer.endswith(end)

    over_http(scenario)


def test_a_slow_client_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_S_MAX", 0.2)

    async def scenario(ask: Ask, _port: int) -> None:
        async with asyncio.timeout(2):
            assert await ask(b"GET / HTTP/1.1\r\n") == b""

    over_http(scenario)


def test_more_connections_than_allowed_are_closed() -> None:
    async def scenario(ask: Ask, port: int) -> None:
        held = [
            await asyncio.open_connection("127.0.0.1", port) for _ in range(http.CONNECTIONS_MAX)
        ]
        assert await ask(b"GET / HTTP/1.1\r\n\r\n") == b""
        for _, writer in held:
            await close(writer)
        await asyncio.sleep(0.1)
        assert b" 200 " in await ask(b"GET / HTTP/1.1\r\n\r\n")

    over_http(scenario)
