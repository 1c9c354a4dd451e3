"""Health's own checks: of the machine, across services, and of the last minute."""

import json
import os
import shutil
import socket
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rtes.common.checks import HealthStatus
from rtes.common.config import Config, load
from rtes.common.topology import layout_here
from rtes.control import certs
from rtes.services.health import machine
from rtes.services.health.core import Snapshot
from rtes.services.health.deployment import IN_PROGRESS, deployment_gauges
from rtes.services.health.sequence import SequenceContinuity
from rtes.services.health.window import Orders

H, D, U = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.UNHEALTHY


def config(directory: Path, **sections: dict[str, Any]) -> Config:
    file = directory / "config.json"
    tree = {"environment": "dev", "mesh": {"run_dir": str(directory)}, **sections}
    file.write_text(json.dumps(tree))
    return load(file, {})


def snapshot(service: str, **more: Any) -> Snapshot:
    return Snapshot(service, 0, os.getpid(), 0, True, **more)


# ---------------------------------------------------------------- the machine


@pytest.mark.parametrize(
    ("greeting", "status"), [(b"\xff\x00", H), (b"HTTP/1.1 200 OK", U), (b"", U)]
)
def test_network_connectivity_wants_zeromq(tmp_path: Path, greeting: bytes, status: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as orders, socket.create_server(
        ("127.0.0.1", 0)
    ) as data:
        ports = {"tcp_port": orders.getsockname()[1], "market_data_port": data.getsockname()[1]}

        asked = (orders, data) if status is H else (orders,)  # data only when orders is well

        def greet() -> None:
            for server in asked:
                with server.accept()[0] as peer:
                    peer.sendall(greeting)

        greeter = threading.Thread(target=greet)
        greeter.start()
        result = machine.network_connectivity(config(tmp_path, exchange=ports))
        greeter.join(10)
        assert result.status is status


def test_network_connectivity_says_which_port_is_closed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    result = machine.network_connectivity(config(tmp_path, exchange={"tcp_port": port}))
    assert result.status is U
    assert f"orders at port {port}: " in result.detail


def test_without_market_data_it_is_degraded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        data_port = closed.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as orders:

        def greet() -> None:
            with orders.accept()[0] as peer:
                peer.sendall(b"\xff")

        greeter = threading.Thread(target=greet)
        greeter.start()
        ports = {"tcp_port": orders.getsockname()[1], "market_data_port": data_port}
        result = machine.network_connectivity(config(tmp_path, exchange=ports))
        greeter.join()
    assert result.status is D
    assert result.detail.startswith("market data at port ")


def test_disk_space_is_counted_in_segments_and_shares(tmp_path: Path) -> None:
    usage = shutil.disk_usage(tmp_path)
    result = machine.disk_space(config(tmp_path))
    assert result.status is (H if usage.free / usage.total > 0.1 else D)
    if usage.free < 4_096 << 21:  # two of the largest segments
        huge = config(tmp_path, journal={"segment_mib": 4_096})
        assert machine.disk_space(huge).status is U


def test_memory_is_what_the_kernel_says() -> None:
    assert 0 < machine.memory_ratio() < 1


def test_memory_of_a_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 700\ninactive_file 40\n")
    for used, status in ((1000, U), (920, D), (800, H)):
        (tmp_path / "memory.current").write_text(f"{used}\n")
        assert machine.memory_ratio() == pytest.approx((used - 40) / 1000)
        assert machine.memory().status is status
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.memory_ratio() != pytest.approx(0.76)


def test_a_clock_that_was_set_is_seen() -> None:
    wall = iter([100.0, 101.0, 105.0, 106.0])
    monotonic = iter([0.0, 1.0, 2.0, 3.0])
    check = machine.ClockCheck(lambda: next(wall), lambda: next(monotonic))
    assert check().status is H
    stepped = check()
    assert (stepped.status, stepped.detail) == (D, "the wall clock was set by +3.00 s")
    assert check().status is H


def test_pinning_compares_with_the_configuration(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    heard = {("risk", 0): snapshot("risk")}
    for wanted, status in ((cores, H), ([], H), ([max(cores) + 1], U)):
        configured = config(tmp_path, cores={"risk": wanted})
        result = machine.pinning(configured, layout_here(configured), heard)
        assert result.status is status


def test_an_audit_log_that_cannot_be_written_is_seen(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    assert machine.audit_log(log).status is H
    log.write_text("{}\n")
    assert machine.audit_log(log).status is H
    assert log.read_text() == "{}\n"
    log.unlink()
    log.mkdir()
    result = machine.audit_log(log)
    assert (result.status, result.detail) == (U, "audit.jsonl: Is a directory")


def test_without_tls_there_is_no_certificate_to_expire(tmp_path: Path) -> None:
    assert machine.certificate(config(tmp_path)).status is H
    assert machine.certificate_gauges(config(tmp_path)) == {}


@pytest.mark.parametrize(
    ("life", "status", "detail"),
    [
        (timedelta(days=100), H, "100 days left"),
        (timedelta(days=10), D, "10 days left"),
        (timedelta(seconds=-60), U, "expired 0 days ago"),
    ],
)
def test_a_certificate_is_told_before_it_expires(
    tmp_path: Path, life: timedelta, status: str, detail: str
) -> None:
    with_tls = config(tmp_path, security={"tls": True})
    certs.init(with_tls)
    certs.renew(with_tls, life=life)
    assert machine.certificate(with_tls) == (status, detail)
    ends = machine.certificate_gauges(with_tls)["rtes_tls_cert_not_after_timestamp_seconds"]
    assert ends == pytest.approx(time.time() + life.total_seconds(), abs=30)


# ---------------------------------------------------------------- across services


def rounds(*seqs: tuple[int, int]) -> list[str]:
    """The check's status after each round of (matcher's, archive's) numbers; a fault shows in the
    round after the next, when it is sure."""
    continuity, seen = SequenceContinuity(), []
    for matcher, archive in seqs:
        pair = {"matcher": matcher, "archive": archive}
        gauges = {s: {"rtes_sequence": float(n)} for s, n in pair.items()}
        continuity.take({(s, 0): snapshot(s, gauges=g) for s, g in gauges.items()})
        seen.append(str(continuity.result().status))
    return seen


def test_a_follower_whose_snapshot_is_newer_is_no_fault() -> None:
    assert rounds((10, 15), (20, 25), (30, 35)) == [H, H, H]


def test_a_matcher_that_went_back_is_a_fault_until_it_is_past_it() -> None:
    assert rounds((10, 10), (20, 20), (12, 20), (19, 20), (21, 20)) == [H, H, H, U, H]


def test_a_matcher_behind_what_another_has_seen_is_a_fault() -> None:
    assert rounds((10, 90), (20, 90), (30, 90)) == [H, H, U]


# ---------------------------------------------------------------- the last minute


def shares(*counts: tuple[int, int, int]) -> tuple[float, float]:
    """The shares of errors and of busy after seconds of (taken, busy, failed) counters."""
    orders = Orders()
    for values in counts:
        names = (f"rtes_orders_total.{kind}" for kind in ("taken", "busy", "failed"))
        told = dict(zip(names, map(float, values), strict=True))
        orders.second({("gateway", 0): snapshot("gateway", counters=told)})
    return orders.errors, orders.busy


def test_what_was_counted_before_is_not_of_the_last_minute() -> None:
    assert shares((900, 0, 100)) == (0, 0)
    assert shares((900, 0, 100), (990, 0, 110))[0] == pytest.approx(0.1)


def test_whoever_is_heard_late_after_a_restart_of_health_is_not_counted_from_its_start() -> None:
    """Or old errors would stop the exchange anew, 30 s after health was restarted."""
    orders = Orders()
    orders.second({})
    told = {"rtes_orders_total.taken": 30_000.0, "rtes_orders_total.failed": 9_000.0}
    orders.second({("gateway", 0): snapshot("gateway", counters=told)})
    assert orders.errors == 0


def test_to_refuse_what_is_too_much_is_no_error() -> None:
    """BUSY under overload is how the exchange is meant to work: it never stops it."""
    assert shares((0, 0, 0), (25, 75, 0)) == (0, 0.75)
    assert shares((0, 0, 0), (25, 0, 75)) == (0.75, 0)


def test_a_gateway_that_starts_again_counts_from_zero() -> None:
    counts = ((0, 0, 0), (90, 0, 10), (90, 0, 10), (45, 0, 5))
    assert shares(*counts)[0] == pytest.approx(0.1)


def test_few_orders_say_nothing() -> None:
    assert shares((0, 0, 0), (0, 0, 19)) == (0, 0)


def test_after_a_minute_it_is_forgotten() -> None:
    assert shares((0, 0, 0), (0, 0, 100), *[(0, 0, 100)] * 59)[0] == 1
    assert shares((0, 0, 0), (0, 0, 100), *[(0, 0, 100)] * 60)[0] == 0


# ---------------------------------------------------------------- deployments


def status_of(record: str) -> float:
    return deployment_gauges(record)["rtes_deployment_status"]


@pytest.mark.parametrize("phase", [*IN_PROGRESS, "SUCCEEDED"])
def test_a_deployment_under_way_or_done_is_well(phase: str) -> None:
    gauges = deployment_gauges(json.dumps({"phase": phase, "phase_started": 17}))
    assert gauges["rtes_deployment_status"] == 1
    assert [n for n, v in gauges.items() if n.startswith("rtes_deployment_phase.") and v] == [
        f"rtes_deployment_phase.{phase}"
    ]
    since = gauges.get("rtes_deployment_phase_start_timestamp_seconds")
    assert since == (17 if phase != "SUCCEEDED" else None)


def test_no_deployment_is_well_and_a_failed_or_unreadable_one_is_not() -> None:
    assert status_of("") == 1
    for record in ('{"phase": "FAILED", "phase_started": 0}', "{", "[]", '{"phase": "RAMP"}'):
        assert status_of(record) == 0
    assert status_of('{"phase": "NEW_ONE", "phase_started": 0}') == 0
