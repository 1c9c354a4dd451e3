"""The report as Prometheus text. Pure.

A service's counters, gauges and histograms come under the names it gave them, labelled service
and shard. A name of the form `rtes_orders_total.accepted` becomes a label, by default
outcome="accepted". Values of a service that has gone silent are left out: an old figure is not a
measurement.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from rtes.common.checks import HealthStatus
from rtes.common.histogram import octaves
from rtes.services.health.core import SILENT_NS_MAX, Report, ServiceReport
from rtes.services.health.names import HELP, LABELS

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_NAME: Final = re.compile(r"^rtes_[a-z0-9_]+(\.[A-Za-z0-9_-]+){0,2}$")
_VALUE: Final = {
    HealthStatus.HEALTHY: 1.0,
    HealthStatus.DEGRADED: 0.5,
    HealthStatus.UNHEALTHY: 0.0,
}
V = TypeVar("V")


class _Collector:
    """What prometheus_client's registry asks of a collector."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def render(report: Report, instance: Mapping[str, Any]) -> bytes:
    """The text that /metrics answers with."""
    registry = CollectorRegistry()
    registry.register(_Collector([*_own(report, instance), *_told(report)]))
    return generate_latest(registry)


def _own(report: Report, instance: Mapping[str, Any]) -> Iterator[Metric]:
    labels = {name: str(value) for name, value in instance.items() if name != "pid"}
    yield InfoMetricFamily("rtes_build", HELP["rtes_build_info"], labels)
    for name, value in (
        ("rtes_healthy", _VALUE[report.status]),
        ("rtes_ready", float(report.ready)),
        ("rtes_live", float(report.live)),
    ):
        yield GaugeMetricFamily(name, HELP[name], value=value)
    name = "rtes_snapshots_malformed_total"
    yield CounterMetricFamily(name, HELP[name], value=report.malformed)
    yield from _services(report)
    yield from _checks(report)


def _services(report: Report) -> Iterator[Metric]:
    status = _gauge("rtes_service_status")
    age = _gauge("rtes_snapshot_age_seconds")
    start = _gauge("rtes_service_start_timestamp_seconds")
    for s in report.services:
        where = [s.service, str(s.shard)]
        status.add_metric(where, _VALUE[s.status])
        if s.snapshot is not None and s.age_ns is not None:
            age.add_metric(where, s.age_ns / 1e9)
            start.add_metric(where, s.snapshot.start_ns / 1e9)
    yield from (status, age, start)


def _checks(report: Report) -> Iterator[Metric]:
    status = _gauge("rtes_health_check_status", "check")
    name = "rtes_health_check_runs_total"
    runs = CounterMetricFamily(name, HELP[name], labels=["service", "shard", "check", "result"])
    for s in report.services:
        for check, result in {} if s.snapshot is None else s.snapshot.checks.items():
            where = [s.service, str(s.shard), check]
            status.add_metric(where, _VALUE[result.status] if _fresh(s) else 0.0)
            runs.add_metric([*where, "passed"], result.passed)
            runs.add_metric([*where, "failed"], result.failed)
    yield from (status, runs)


def _gauge(name: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, HELP[name], labels=["service", "shard", *labels])


def _told(report: Report) -> Iterator[Metric]:
    heard = [(s, s.snapshot) for s in report.services if _fresh(s) and s.snapshot is not None]
    yield from _families(((s, snapshot.counters) for s, snapshot in heard), CounterMetricFamily)
    yield from _families(((s, snapshot.gauges) for s, snapshot in heard), GaugeMetricFamily)
    yield from _histograms((s, snapshot.histograms) for s, snapshot in heard)


def _fresh(s: ServiceReport) -> bool:
    return s.age_ns is not None and s.age_ns <= SILENT_NS_MAX


def _rows(
    told: Iterable[tuple[ServiceReport, dict[str, V]]],
) -> Iterator[tuple[str, list[str], list[tuple[list[str], V]]]]:
    """(name, label names, rows) of each family; what has no proper name is left out."""
    samples: dict[str, list[tuple[list[str], V]]] = {}
    for s, values in told:
        for full_name, value in values.items():
            if _NAME.match(full_name):
                name, *labels = full_name.split(".")
                samples.setdefault(name, []).append(([s.service, str(s.shard), *labels], value))
    for name, rows in samples.items():
        own = LABELS.get(name, "outcome").split() if len(rows[0][0]) > 2 else []
        names = ["service", "shard", *own]
        yield name, names, [(labels, value) for labels, value in rows if len(labels) == len(names)]


def _families(
    told: Iterable[tuple[ServiceReport, dict[str, float]]],
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
) -> Iterator[Metric]:
    for name, labels, rows in _rows(told):
        family = kind(name, HELP.get(name, "As the service counts it."), labels=labels)
        for values, value in rows:
            family.add_metric(values, value)
        yield family


def _histograms(
    told: Iterable[tuple[ServiceReport, dict[str, tuple[int, list[int]]]]],
) -> Iterator[Metric]:
    for name, labels, rows in _rows(told):
        family = HistogramMetricFamily(name, HELP.get(name, ""), labels=labels)
        for values, (sum_ns, counts) in rows:
            buckets = [(f"{le:.6g}", float(count)) for le, count in octaves(counts)]
            family.add_metric(values, [*buckets, ("+Inf", float(sum(counts)))], sum_ns / 1e9)
        yield family
