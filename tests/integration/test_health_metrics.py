"""The figures of a real exchange: what was traded is counted, by the right names, and a real
Prometheus reads them.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rtes.benchmarks.prometheus import Prometheus
from rtes.client import Rejected
from rtes.client.testing import Mesh
from rtes.common.placement import MEMBERS
from rtes.services.health.names import HELP

from tests.meshes import connect, wait_for

pytestmark = pytest.mark.mesh


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Five orders: one filled, one half, one resting, two refused for their price."""
    with Mesh(tmp_path_factory.mktemp("metrics"), MEMBERS) as mesh:
        with connect(mesh, "DEMO1") as one, connect(mesh, "DEMO2") as two:
            one.sell("AAPL", 100, 58_600)
            two.buy("AAPL", 40, 58_600)
            one.buy("AAPL", 10, 58_000)
            for _ in range(2):
                with pytest.raises(Rejected):
                    two.buy("AAPL", 10, 64_500)
        wait_for(lambda: values(mesh)["rtes_orders_total", "taken"] == 5)
        yield mesh


def families(mesh: Mesh) -> list[Any]:
    return list(text_string_to_metric_families(mesh.get("/metrics")[1].decode()))


def values(mesh: Mesh) -> dict[tuple[str, ...], float]:
    """By name and the labels besides service and shard, added up over services."""
    found: dict[tuple[str, ...], float] = {}
    for family in families(mesh):
        for s in family.samples:
            key = (s.name, *(v for k, v in s.labels.items() if k not in ("service", "shard")))
            found[key] = found.get(key, 0.0) + s.value
    return found


def test_orders_trades_and_refusals_are_counted(traded: Mesh) -> None:
    wait_for(lambda: values(traded).get(("rtes_trades_total",)) == 1)
    wait_for(lambda: values(traded)["rtes_open_orders",] == 2)  # services report in turn
    seen = values(traded)
    assert seen["rtes_orders_total", "accepted"] == 3
    assert seen["rtes_orders_total", "filled"] == 1
    assert seen["rtes_orders_total", "busy"] == 0
    assert seen["rtes_orders_rejected_total", "PRICE_BAND"] == 2
    assert seen["rtes_traded_quantity_total",] == 40
    assert seen["rtes_traded_notional_total", "USD"] == 40 * 586.00
    assert seen["rtes_open_orders",] == 2
    assert seen["rtes_error_rate",] == 0
    assert seen["rtes_deployment_status",] == 1


def test_every_stage_is_timed_in_the_order_of_the_path(traded: Mesh) -> None:
    stages = (
        ("rtes_order_latency_seconds", "risk"),
        ("rtes_order_latency_seconds", "matcher"),
        ("rtes_order_ack_seconds",),
    )
    counts = [(f"{name}_count", *stage) for name, *stage in stages]
    wait_for(lambda: all(values(traded)[count] >= 5 for count in counts))
    seen = values(traded)
    assert [seen[count] for count in counts] == [5, 5, 5], "orders, and nothing but orders"
    means = [seen[f"{name}_sum", *stage] / seen[f"{name}_count", *stage] for name, *stage in stages]
    assert 0 < means[0] < means[1] < means[2] < 1
    assert seen["rtes_delivery_seconds_count",] >= 1


@pytest.mark.parametrize(
    "name", ["rtes_process_cpu_seconds", "rtes_process_resident_memory_bytes"]
)
def test_every_process_tells_its_cpu_and_memory(traded: Mesh, name: str) -> None:
    def told() -> dict[str, float]:
        family = next(f for f in families(traded) if f.name == name)
        return {s.labels["service"]: s.value for s in family.samples}

    wait_for(lambda: set(told()) == set(traded.services))
    assert all(value > 0 for value in told().values())


def test_every_metric_is_in_the_list_of_names(traded: Mesh) -> None:
    """So what dashboards and rules are checked against is what there is."""
    seen = {f.name if f.type != "counter" else f"{f.name}_total" for f in families(traded)}
    seen = {"rtes_build_info" if name == "rtes_build" else name for name in seen}
    absent = {
        "rtes_tls_cert_not_after_timestamp_seconds",  # no TLS here
        "rtes_deployment_phase_start_timestamp_seconds",  # no deployment under way
    }
    assert seen == set(HELP) - absent


@pytest.fixture
def prometheus(traded: Mesh, tmp_path: Path) -> Iterator[Prometheus]:
    """A real Prometheus that scrapes the exchange with the shipped rules."""
    with Prometheus(traded.config, tmp_path) as running:
        yield running


def test_a_real_prometheus_scrapes_a_running_exchange(prometheus: Prometheus) -> None:
    query = prometheus.query
    wait_for(lambda: query('up{job="rtes"} == 1') != [], 30)
    wait_for(lambda: query('rtes_orders_total{outcome="taken"} == 5') != [])
    wait_for(lambda: query("rtes:order_ack_seconds:p99_5m") != [])
    time.sleep(2)  # two evaluations of every rule
    rules = prometheus.rules()
    assert [r["name"] for r in rules if r["health"] != "ok"] == []
    assert [r["name"] for r in rules if r.get("state") == "firing"] == []
