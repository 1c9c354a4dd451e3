"""Hostile and unlucky input at the probes, against a whole exchange of real processes.

Rows of the table of hostile input: a slow loris, connections that say nothing, requests that are
wrong; and a probe when a service is dead, silent or stopped, which must show within 2 s.
"""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rtes.client.testing import SERVICES, Mesh, free_port
from rtes.common.placement import MEMBERS

pytestmark = pytest.mark.mesh
SHOWN_S_MAX = 2.0
LIVE_S_MAX = 0.05


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A whole exchange."""
    with Mesh(tmp_path_factory.mktemp("probes"), MEMBERS) as mesh:
        yield mesh


def body(mesh: Mesh, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(mesh.get(path)[1])
    return answer


def until(done: Callable[[], bool], timeout_s: float) -> float:
    """Seconds until done() says so."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < timeout_s, f"not within {timeout_s} s"
        time.sleep(0.02)
    return time.monotonic() - began


def connected(mesh: Mesh, count: int) -> list[socket.socket]:
    exchange = mesh.config.exchange
    return [socket.create_connection((exchange.host, exchange.ports["http"])) for _ in range(count)]


def live_s(mesh: Mesh) -> float:
    """How long /live takes, the best of three: the machine has others to serve, too."""
    took = []
    for _ in range(3):
        began = time.monotonic()
        assert mesh.get("/live")[0] == 200
        took.append(time.monotonic() - began)
    return min(took)


def raw(mesh: Mesh, request: bytes) -> bytes:
    """All that comes back for some bytes."""
    (peer,) = connected(mesh, 1)
    with peer:
        peer.settimeout(10)
        peer.sendall(request)
        answer = b""
        while piece := peer.recv(65_536):
            answer += piece
    return answer


@pytest.mark.parametrize("path", ["/health", "/ready", "/live", "/startup", "/version"])
def test_a_whole_exchange_passes_its_probes(exchange: Mesh, path: str) -> None:
    status, answer = exchange.get(path)
    assert status == 200, answer
    assert json.loads(answer)["version"]


def test_every_check_of_a_whole_exchange_is_healthy(exchange: Mesh) -> None:
    until(lambda: body(exchange, "/health")["status"] == "healthy", 10)
    services = {s["service"]: s for s in body(exchange, "/health")["services"]}
    assert "loop" in services["matcher"]["checks"]
    assert {"network_connectivity", "disk_space", "memory", "clock", "sequence_continuity"} <= set(
        services["health"]["checks"]
    )


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"404"),
        (b"DELETE /health HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /live HTTP/1.1\r\nX: " + b"a" * 9_000 + b"\r\n\r\n", b"431"),
        (b"GET /live HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", b"413"),
        (b"\x00\xff\r\n\r\n", b"400"),
    ],
)
def test_wrong_requests_have_their_answers(exchange: Mesh, request_: bytes, status: bytes) -> None:
    assert raw(exchange, request_).split(b" ", 2)[1] == status


def test_http_slowloris_does_not_delay_live(exchange: Mesh) -> None:
    held = connected(exchange, 64)
    try:
        for peer in held:
            peer.sendall(b"GET /live HTTP/1.1\r\nX-Slow: ")
        for _ in range(5):
            for peer in held:
                try:
                    peer.sendall(b"a")
                except OSError:
                    continue  # made room already
            assert live_s(exchange) < LIVE_S_MAX
    finally:
        for peer in held:
            peer.close()


def test_a_slow_request_is_ended_after_5_s(exchange: Mesh) -> None:
    began = time.monotonic()
    assert raw(exchange, b"GET /live HTTP/1.1\r\n").startswith(b"HTTP/1.1 408 ")
    assert 4.5 < time.monotonic() - began < 7


def test_64_idle_connections_do_not_delay_live(exchange: Mesh) -> None:
    held = connected(exchange, 64)
    try:
        assert live_s(exchange) < LIVE_S_MAX
    finally:
        for peer in held:
            peer.close()


def shown(mesh: Mesh, service: str) -> bool:
    """Health says unhealthy and names the service; the aggregator itself stays alive."""
    answers = {path: mesh.get(path) for path in ("/health", "/ready", "/live")}
    assert answers["/live"][0] == 200
    ready = json.loads(answers["/ready"][1])
    assert ready["ready"] is (answers["/ready"][0] == 200)
    named = any(line.startswith(service) for line in ready.get("waiting_for", []))
    return answers["/health"][0] == answers["/ready"][0] == 503 and named


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("how", ["killed", "silent", "stopped"])
def test_a_probe_when_a_service_is_down_or_silent(exchange: Mesh, service: str, how: str) -> None:
    until(lambda: exchange.get("/ready")[0] == 200, 20)
    process = exchange.processes[service]
    if how == "killed":
        exchange.kill(service)
    elif how == "silent":
        process.send_signal(signal.SIGSTOP)
    else:
        process.terminate()
    until(lambda: shown(exchange, service), SHOWN_S_MAX)
    if how == "silent":
        process.send_signal(signal.SIGCONT)
    else:
        process.wait(10)
        exchange.start(service)
    until(lambda: exchange.get("/ready")[0] == 200, 20)


def test_market_data_down_degrades_only(exchange: Mesh) -> None:
    until(lambda: exchange.get("/ready")[0] == 200, 20)
    exchange.kill("marketdata")
    until(lambda: body(exchange, "/health")["status"] == "degraded", SHOWN_S_MAX)
    assert exchange.get("/health")[0] == exchange.get("/ready")[0] == 200
    exchange.start("marketdata")
    until(lambda: body(exchange, "/health")["status"] == "healthy", 20)


def test_the_aggregators_own_death_is_visible(exchange: Mesh) -> None:
    exchange.kill("health")
    with pytest.raises(OSError, match="refused"):
        exchange.get("/live")
    exchange.start("health")
    exchange.wait_ready()


def test_one_service_answers_its_own_probes(tmp_path: Path) -> None:
    """As in a container that runs nothing else: no health, and risk has no matcher to wait for."""
    with Mesh(tmp_path, ()) as mesh:
        port = free_port()
        command = [sys.executable, "-m", "rtes.services.risk", "--config", str(mesh.config_file)]
        with subprocess.Popen([*command, "--probe-port", str(port)]) as process:
            try:
                until(lambda: own_probe(port, "/live")[0] == 200, 20)
                status, told = own_probe(port, "/ready")
                assert (status, told["ready"], told["service"]) == (503, False, "risk")
                assert own_probe(port, "/startup")[0] == 503
                until(lambda: "matcher_link" in own_probe(port, "/health")[1]["checks"], 5)
                mesh.start("matcher")
                mesh.start("archive")
                for path in ("/ready", "/startup", "/live", "/health"):
                    until(partial(answers_200, port, path), 20)
            finally:
                process.terminate()


def answers_200(port: int, path: str) -> bool:
    return own_probe(port, path)[0] == 200


def own_probe(port: int, path: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except OSError:
        return 0, {}
    finally:
        connection.close()
