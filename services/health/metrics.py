"""The report as Prometheus text. Pure.

A service's counters and gauges come under the names it gave them, labelled service and shard.
A name of the form `rtes_orders_total.accepted` becomes the label outcome="accepted". Values of a
service that has gone silent are left out: an old figure is not a measurement.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from rtes.services.health.core import SILENT_NS_MAX, Report, ServiceReport, Status

_NAME: Final = re.compile(r"^rtes_[a-z0-9_]+(\.[a-z0-9_]+)?$")
_VALUE: Final = {Status.HEALTHY: 1.0, Status.DEGRADED: 0.5, Status.UNHEALTHY: 0.0}


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
    yield InfoMetricFamily("rtes_build", "Which instance answers.", labels)
    yield _single("rtes_healthy", "1 healthy, 0.5 degraded, 0 unhealthy.", _VALUE[report.status])
    yield _single("rtes_ready", "1 when every critical service is ready.", float(report.ready))
    yield CounterMetricFamily(
        "rtes_snapshots_malformed", "Snapshots that could not be read.", value=report.malformed
    )
    status = _family("rtes_service_status", "1 healthy, 0.5 degraded, 0 unhealthy.")
    age = _family("rtes_snapshot_age_seconds", "Since the service was last heard of.")
    start = _family("rtes_service_start_timestamp_seconds", "When the service started.")
    check = _family("rtes_health_check_status", "1 when the check passes.", "check")
    for s in report.services:
        where = [s.service, str(s.shard)]
        status.add_metric(where, _VALUE[s.status])
        if s.snapshot is None or s.age_ns is None:
            continue
        age.add_metric(where, s.age_ns / 1e9)
        start.add_metric(where, s.snapshot.start_ns / 1e9)
        for name, result in s.snapshot.checks.items():
            check.add_metric([*where, name], float(result.ok))
    yield from (status, age, start, check)


def _single(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["service", "shard", *labels])


def _told(report: Report) -> Iterator[Metric]:
    heard = [(s, s.snapshot) for s in report.services if _fresh(s) and s.snapshot is not None]
    yield from _families(((s, snapshot.counters) for s, snapshot in heard), CounterMetricFamily)
    yield from _families(((s, snapshot.gauges) for s, snapshot in heard), GaugeMetricFamily)


def _fresh(s: ServiceReport) -> bool:
    return s.age_ns is not None and s.age_ns <= SILENT_NS_MAX


def _families(
    told: Iterable[tuple[ServiceReport, dict[str, float]]],
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
) -> Iterator[Metric]:
    samples: dict[str, list[tuple[list[str], float]]] = {}
    for s, values in told:
        for full_name, value in values.items():
            if _NAME.match(full_name):
                name, _, outcome = full_name.partition(".")
                samples.setdefault(name, []).append(([s.service, str(s.shard), outcome], value))
    for name, rows in samples.items():
        labelled = any(labels[-1] for labels, _ in rows)
        names = ["service", "shard", "outcome"] if labelled else ["service", "shard"]
        family = kind(name, "As the service counts it.", labels=names)
        for labels, value in rows:
            family.add_metric(labels[: len(names)], value)
        yield family
