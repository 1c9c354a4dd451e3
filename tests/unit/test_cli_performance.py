"""`rtes affinity` and `rtes latency`, the parts that ask nobody."""

import pytest
from rtes.client.cli_performance import (
    Running,
    against,
    pinned,
    quantile_us,
    read_stages,
    stages,
)
from rtes.common.config import ServiceCores

METRICS = """\
# HELP rtes_order_latency_seconds x
# TYPE rtes_order_latency_seconds histogram
rtes_order_latency_seconds_bucket{le="0.001",service="risk",shard="0",stage="risk"} 10
rtes_order_latency_seconds_bucket{le="0.002",service="risk",shard="0",stage="risk"} 30
rtes_order_latency_seconds_bucket{le="+Inf",service="risk",shard="0",stage="risk"} 30
rtes_order_latency_seconds_sum{service="risk",shard="0",stage="risk"} 0.03
rtes_order_latency_seconds_count{service="risk",shard="0",stage="risk"} 30
rtes_order_latency_seconds_bucket{le="0.001",service="risk",shard="1",stage="risk"} 0
rtes_order_latency_seconds_bucket{le="0.002",service="risk",shard="1",stage="risk"} 10
rtes_order_latency_seconds_bucket{le="+Inf",service="risk",shard="1",stage="risk"} 10
# HELP rtes_sequence x
# TYPE rtes_sequence gauge
rtes_sequence{service="matcher",shard="0"} 7
"""


def test_shards_are_added_up_and_other_metrics_passed_over() -> None:
    assert read_stages(METRICS) == {"gateway to risk": {0.001: 10, 0.002: 40, float("inf"): 40}}


def test_a_row_tells_of_the_time_between() -> None:
    before = {"gateway to risk": {0.001: 10.0, 0.002: 20.0, float("inf"): 20.0}}
    row, *others = stages(read_stages(METRICS), before)
    assert row["count"] == 20
    assert row["p50_us"] == 1_500  # all 20 lie in the second bucket
    assert [other["p50_us"] for other in others] == [None] * 3


def test_a_restarted_service_counts_from_nothing() -> None:
    before = {"gateway to risk": {0.001: 1_000.0, float("inf"): 1_000.0}}
    assert stages(read_stages(METRICS), before)[0]["count"] == 40


@pytest.mark.parametrize(
    ("buckets", "q", "us"),
    [
        ({}, 0.5, None),
        ({0.001: 0.0, float("inf"): 0.0}, 0.5, None),
        ({0.001: 4.0, float("inf"): 4.0}, 0.5, 500.0),
        ({0.001: 4.0, float("inf"): 8.0}, 0.99, 1_000.0),
        ({0.001: 0.0, 0.002: 10.0, float("inf"): 10.0}, 1.0, 2_000.0),
    ],
)
def test_quantiles(buckets: dict[float, float], q: float, us: float | None) -> None:
    assert quantile_us(buckets, q) == us


def test_against_says_who_is_where_it_should_be() -> None:
    cores = ServiceCores(matcher=[1], risk=[0])
    here = [
        Running("matcher", 0, 11, [1]),
        Running("risk", 0, 12, [0, 1]),
        Running("gateway", 0, 13, [0, 1]),
        Running("gateway", 1, 14, [0]),
    ]
    rows = {row["service"]: row for row in against(cores, here)}
    assert rows["matcher"]["matches"] is True
    assert rows["risk"]["matches"] is False
    assert rows["gateway 0"]["matches"] is rows["gateway 1"]["matches"] is True  # not pinned
    assert rows["archive"]["matches"] is None
    assert pinned(cores, 1) == ["matcher"]
