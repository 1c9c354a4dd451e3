"""`rtes affinity` and `rtes latency`: where the services run, and how long orders take in them.

affinity reads /proc of this host, so it speaks of the processes here and no others. latency reads
the histograms of the exchange's /metrics; a bucket there is a doubling wide, so a percentile is
right within that.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rtes.client.cli_common import Setting, shared, show_table
from rtes.common.config import Config, ServiceCores
from rtes.common.healthpage import page
from rtes.common.heartbeat import beats
from rtes.common.paths import Paths
from rtes.common.topology import cores_here, layout_here

REFRESH_S: Final = 1.0
PERCENTILES: Final = (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
STAGES: Final = {  # (metric, its stage label, service) -> what is timed
    ("rtes_order_latency_seconds", "risk", "risk"): "gateway to risk",
    ("rtes_order_latency_seconds", "matcher", "matcher"): "gateway to matcher",
    ("rtes_order_ack_seconds", "", "gateway"): "gateway to report",
    ("rtes_delivery_seconds", "", "marketdata"): "matcher to market data",
}
Buckets = dict[float, float]  # upper bound in seconds -> how many took at most so long


class Running(NamedTuple):
    """A process of the exchange on this host, and the cores that its threads may use."""

    service: str
    shard: int
    pid: int
    cores: list[int]


@click.command()
@shared(account=None)
@click.pass_context
def affinity(ctx: click.Context, setting: Setting) -> None:
    """Show which cores services are to use and which they do use.

    The exit code is 1 when a process may use other cores than its configuration says."""
    machine, cores = cores_here(), layout_here(setting.config)
    spins = setting.config.mesh.busy_poll
    rows = against(cores, running_here(Paths(setting.config).beats_dir, spins))
    wrong = [row for row in rows if row["matches"] is False]

    def show() -> None:
        columns = ("core ", "package ", "physical core ", "shares it with", "pinned here")
        show_table(
            columns,
            [
                [
                    core.number,
                    core.package,
                    core.physical,
                    _listed(core.siblings),
                    ", ".join(pinned(cores, core.number)) or None,
                ]
                for core in machine
            ],
            "",
        )
        click.echo()
        columns = ("service", "pid ", "configured", "has", "matches")
        show_table(
            columns,
            [
                [
                    r["service"],
                    r["pid"],
                    _listed(r["configured"]) or "any",
                    _listed(r["has"]),
                    _YES_NO[r["matches"]],
                ]
                for r in rows
            ],
            "",
        )

    told = {"machine": [core._asdict() for core in machine], "services": rows}
    setting.emit(told | {"matches": not wrong}, show)
    if wrong:
        ctx.exit(1)


_YES_NO: Final = {True: "yes", False: "NO", None: "not running"}


def _listed(cores: Sequence[int] | None) -> str | None:
    return ", ".join(map(str, cores)) if cores else None


def pinned(cores: ServiceCores, core: int) -> list[str]:
    """Which services are configured to use a core."""
    return [service for service in ServiceCores.model_fields if core in getattr(cores, service)]


def running_here(beats_dir: Path, spins: bool = False) -> list[Running]:
    """The processes that left a heartbeat and still live, with the cores of all their threads;
    where they spin, of the one that does."""
    found = []
    for beat in beats(beats_dir):
        service = beat.name.rstrip("0123456789")
        if service in ServiceCores.model_fields:
            shard = int(beat.name.removeprefix(service) or 0)
            threads = [int(path.name) for path in Path(f"/proc/{beat.pid}/task").glob("*")]
            cores = [os.sched_getaffinity(t) for t in ([beat.pid] if spins else threads)]
            found.append(Running(service, shard, beat.pid, sorted(set().union(*cores))))
    return found


def against(cores: ServiceCores, running: Iterable[Running]) -> list[dict[str, Any]]:
    """One row for each process, and for each service without one; matches is None then.

    A service that is not pinned may have any cores."""
    rows = []
    here = list(running)
    for service in ServiceCores.model_fields:
        configured = sorted(getattr(cores, service))
        own = [r for r in here if r.service == service]
        for r in own:
            matches = not configured or r.cores == configured
            name = service if len(own) == 1 else f"{service} {r.shard}"
            rows.append({"service": name, "pid": r.pid, "configured": configured, "has": r.cores,
                         "matches": matches})  # fmt: skip
        if not own:
            rows.append({"service": service, "pid": None, "configured": configured, "has": None,
                         "matches": None})  # fmt: skip
    return rows


@click.command()
@shared(account=None)
@click.option("--seconds", type=click.FloatRange(min=0), default=5.0, show_default=True,
              help="How far to look back; 0: to the start.")  # fmt: skip
@click.option("--once", is_flag=True, help="Print it once, after so many seconds, and leave, "
              "as without a terminal.")  # fmt: skip
def latency(setting: Setting, seconds: float, once: bool) -> None:
    """Watch how long orders take to each stage until Ctrl-C.

    With --json it is printed once."""
    config = setting.config
    first = scrape(config)
    over = f"last {seconds:g} s" if seconds else "since the start"
    if once or setting.as_json or not Console().is_terminal:
        if seconds:
            time.sleep(seconds)
        rows = stages(scrape(config), first if seconds else {})
        setting.emit(
            {"seconds": seconds, "stages": rows}, lambda: Console().print(_table(rows, over))
        )
        return
    taken = deque([(time.monotonic(), first)])
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(_table(stages(first, {}), "since the start")) as live,
    ):
        while True:
            time.sleep(REFRESH_S)
            taken.append((time.monotonic(), scrape(config)))
            while len(taken) > 2 and taken[1][0] <= taken[-1][0] - seconds:
                taken.popleft()
            rows = stages(taken[-1][1], taken[0][1] if seconds else {})
            live.update(_table(rows, over))


def scrape(config: Config) -> dict[str, Buckets]:
    """The histograms of all stages as they are, shards added up. Raises as page() does."""
    return read_stages(page(config, "/metrics")[1].decode())


def read_stages(metrics: str) -> dict[str, Buckets]:
    """From the text of /metrics: what is timed -> its buckets."""
    found: dict[str, Buckets] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            labels = sample.labels
            key = (family.name, labels.get("stage", ""), labels.get("service", ""))
            if key in STAGES and sample.name.endswith("_bucket"):
                buckets = found.setdefault(STAGES[key], {})
                le = float(labels["le"])
                buckets[le] = buckets.get(le, 0.0) + sample.value
    return found


def stages(now: Mapping[str, Buckets], before: Mapping[str, Buckets]) -> list[dict[str, Any]]:
    """One row a stage, microseconds; None where nothing came. A restarted service counts anew."""
    rows = []
    for name in STAGES.values():
        buckets, earlier = now.get(name, {}), before.get(name, {})
        if earlier and buckets and max(earlier.values()) > max(buckets.values()):
            earlier = {}
        passed = {le: count - earlier.get(le, 0.0) for le, count in buckets.items()}
        row: dict[str, Any] = {"stage": name, "count": int(max(passed.values(), default=0))}
        rows.append(row | {f"{p}_us": quantile_us(passed, q) for p, q in PERCENTILES})
    return rows


def quantile_us(buckets: Buckets, q: float) -> float | None:
    """Read off within its bucket; beyond the last bound it is that bound."""
    total = max(buckets.values(), default=0.0)
    start_s, below = 0.0, 0.0
    for le in sorted(buckets):
        if total and buckets[le] >= q * total:
            if le == float("inf"):
                break
            share = (q * total - below) / ((buckets[le] - below) or 1.0)
            return round((start_s + (le - start_s) * share) * 1e6, 1)
        start_s, below = le, buckets[le]
    return round(start_s * 1e6, 1) if total else None


def _table(rows: Iterable[Mapping[str, Any]], over: str) -> Table:
    table = Table("stage", *(f"{p} us" for p, _ in PERCENTILES), "orders", box=None,
                  title=f"time of an order, {over}", title_justify="left")  # fmt: skip
    for row in rows:
        figures = [row[f"{p}_us"] for p, _ in PERCENTILES]
        shown = ("-" if us is None else f"{us:,.0f}" for us in figures)
        table.add_row(row["stage"], *shown, f"{row['count']:,}")
    return table
