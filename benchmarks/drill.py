"""Breaks one thing after the other in a real exchange, without a supervisor that would repair it,
and notes what the probes, the page and a real Prometheus with the shipped rules say, and when.

    python -m benchmarks.drill [--only TEXT] [--json]

It takes about a quarter of an hour, most of it waiting for alerts to fire: their delays are the
rules' own. Needs the Debian package prometheus and, for the full disk, root (a tmpfs is mounted).
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from rich.console import Console
from rich.table import Table
from rtes.benchmarks.harness import environment, show
from rtes.benchmarks.hostile import Flood
from rtes.benchmarks.prometheus import Prometheus
from rtes.client import Client
from rtes.client.testing import SERVICES, Mesh
from rtes.common import messages as m
from rtes.common.enums import OrdType, Side, TimeInForce
from rtes.common.journal import segments
from rtes.common.placement import MEMBERS
from rtes.common.refusals import Code
from rtes.common.storage import EXIT_JOURNAL_CORRUPT
from rtes.common.tls import http_connection
from rtes.control import certs

CRITICAL: Final = ("matcher", "archive", "risk", "gateway")
POLL_S: Final = 0.05
SLOWEST_CHECK_S: Final = 7.0  # by then /health says so, if it ever does
FIRES_S_MAX: Final = 100.0  # later ones are only seen pending
WELL_S_MAX: Final = 90.0
BATCH: Final = 100
FLOOD_PER_S, LIMIT_PER_S = 20_000, 2_000
JOURNAL: Final = {
    "segment_mib": 1, "retention": "all", "snapshot_commands": 10_000_000,
    "snapshot_interval_s": 86_400,
}  # fmt: skip
SOON: Final = "the certificate has 10 days left"
NOW: Final = "the certificate expires"  # 3 s after it came into use
SLOW: Final = ("DeploymentFailed", "CertExpiresSoon")  # fire after 5 minutes and an hour


class Break(NamedTuple):
    """What is broken, how, how it is mended, and which alert is for it. expect: what a row says
    besides, asked when the alert was seen; prepare: done before."""

    name: str
    act: Callable[[], object]
    undo: Callable[[], object]
    alert: str
    expect: Callable[[], str] = lambda: ""
    prepare: Callable[[], object] = lambda: None


class Seen(NamedTuple):
    """A row. Times in seconds since it was broken; None: it never was seen."""

    broken: str
    health: str
    health_s: float | None
    live: int
    page_s: float | None
    alert: str
    state: str
    alert_s: float | None
    well_s: float


def health(mesh: Mesh) -> tuple[int, dict[str, Any]]:
    try:
        status, body = mesh.get("/health")
        return status, json.loads(body)
    except OSError as error:
        return 0, {"status": f"no answer: {error.strerror or error}", "services": []}


def said(mesh: Mesh) -> str:
    """The status, and the first reason of every service that is not healthy."""
    status, body = health(mesh)
    ill = [s for s in body["services"] if s["status"] != "healthy"]
    why = "; ".join(f"{s['service']}: {s['why'][0]}" for s in ill)
    return f"{status or ''} {body['status']}".strip() + (f" ({why})" if why else "")


def page_alerts(mesh: Mesh) -> set[str]:
    """The names that the page shows now."""
    connection = http_connection(mesh.config, 5.0)
    try:
        connection.request("GET", "/events")
        line = connection.getresponse().readline()
        return {a["name"] for a in json.loads(line.partition(b"data: ")[2])["alerts"]}
    except (OSError, ValueError):
        return set()
    finally:
        connection.close()


def wait(done: Callable[[], bool], timeout_s: float, what: str) -> float:
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > timeout_s:
            raise SystemExit(f"the drill gives up: after {timeout_s:.0f} s not yet {what}")
        time.sleep(POLL_S)
    return time.monotonic() - began


def well(mesh: Mesh) -> bool:
    return bool(health(mesh)[1]["status"] == "healthy")


def drill(mesh: Mesh, prometheus: Prometheus, it: Break) -> Seen:
    """Break, wait until everybody noticed who is to, mend, wait until all is well."""
    it.prepare()
    wait(lambda: well(mesh), WELL_S_MAX, f"well before: {it.name}: {said(mesh)}")
    wait(lambda: it.alert not in prometheus.alerts(), 400, f"over: {it.alert}")
    began = time.monotonic()
    it.act()
    words, live = "", 200
    found: dict[str, float] = {}
    wanted = "pending" if it.alert in SLOW else "firing"
    passed = 0.0
    while passed < SLOWEST_CHECK_S or ("alert" not in found and passed < FIRES_S_MAX):
        if {"health", "page", "alert"} <= found.keys():
            break
        passed = time.monotonic() - began
        if "health" not in found and not well(mesh):
            found["health"] = passed
            time.sleep(0.3)  # the first reason is not always the whole one
            words, live = said(mesh), probe(mesh)
        if "page" not in found and it.alert in page_alerts(mesh):
            found["page"] = passed
        if prometheus.alerts().get(it.alert) in (wanted, "firing"):
            found["alert"] = passed
        time.sleep(POLL_S)
    more = it.expect()
    words = "; ".join(filter(None, [words or said(mesh), more]))
    it.undo()
    well_s = wait(lambda: well(mesh), WELL_S_MAX, f"well after: {it.name}: {said(mesh)}")
    state = wanted if "alert" in found else "silent"
    times = found.get("health"), found.get("page"), found.get("alert")
    return Seen(it.name, words, times[0], live, times[1], it.alert, state, times[2], well_s)


def probe(mesh: Mesh) -> int:
    """What /live says; 0 when nobody answers."""
    try:
        return mesh.get("/live")[0]
    except OSError:
        return 0


def processes(mesh: Mesh) -> Iterator[Break]:
    for service in MEMBERS:
        absent = "ExchangeAbsent" if service == "health" else "ServiceUnhealthy"
        alert = "ExchangeNotReady" if service in CRITICAL else absent
        yield Break(
            f"kill -9 {service}", partial(mesh.kill, service), partial(mesh.start, service), alert
        )
    for service in SERVICES:
        yield Break(
            f"SIGSTOP {service}", partial(stop, mesh, service, signal.SIGSTOP),
            partial(stop, mesh, service, signal.SIGCONT), "ExchangeNotReady",
        )  # fmt: skip


def stop(mesh: Mesh, service: str, number: signal.Signals) -> None:
    mesh.processes[service].send_signal(number)


def files(mesh: Mesh) -> Iterator[Break]:
    record = mesh.paths.run_dir / "deployment.json"
    audit = mesh.paths.audit_file
    yield Break("the audit log cannot be written", audit.mkdir, audit.rmdir, "AuditUnwritable")
    failed = '{"phase": "FAILED", "phase_started": 0}'
    status = "rtes_deployment_status"
    yield Break(
        "a deployment fails", lambda: record.write_text(failed), record.unlink,
        "DeploymentFailed", lambda: f"{status} {metric(mesh, status):g}",
    )  # fmt: skip


def metric(mesh: Mesh, name: str) -> float:
    lines = mesh.get("/metrics")[1].decode().splitlines()
    return next(float(n.split()[-1]) for n in lines if n.startswith(f"{name}{{"))


def trade(mesh: Mesh, done: Callable[[list[Any]], bool]) -> None:
    """Orders that never rest, below the session's rate, until done says so of their answers."""
    terms = ("AAPL", Side.BUY, 1, OrdType.LIMIT, 58_000, TimeInForce.IOC)
    with Client.connect("DEMO1", config=mesh.config, timeout_s=20) as client:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            client.send([m.NewOrderSingle(client.next_id(), *terms) for _ in range(BATCH)])
            time.sleep(BATCH / LIMIT_PER_S * 1.5)
            if done(client.poll(0.05)):
                return
    raise SystemExit("the drill cannot trade")


def disk(mesh: Mesh) -> Break:
    """Needs the journal on a small disk of its own."""
    filler = mesh.paths.journal_dir(0).parent / "filler"

    def full(reports: list[Any]) -> bool:
        return any(getattr(r, "reject_code", 0) == Code.READ_ONLY for r in reports)

    def fill() -> None:
        free = os.statvfs(filler.parent)
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
        trade(mesh, full)

    return Break("the journal's disk is full", fill, filler.unlink, "JournalReadOnly")


def flood(mesh: Mesh) -> Break:
    """One participant at ten times its limit."""
    flooder = Flood(mesh, "BOT01", FLOOD_PER_S, 1)
    return Break(
        f"one participant sends {FLOOD_PER_S:,} orders a second, ten times its limit",
        flooder.__enter__, flooder.__exit__, "Flood",
        lambda: f"rtes_bans_total {metric(mesh, 'rtes_bans_total'):g}",
    )  # fmt: skip


def flip(path: Path) -> None:
    """One bit in the middle of what is used of a segment."""
    with path.open("r+b") as file:
        at = len(file.read().rstrip(b"\0")) // 2
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def damage(mesh: Mesh) -> Iterator[Break]:
    directory = mesh.paths.journal_dir(0)

    def old() -> Path:
        return segments(directory)[0]

    def break_it() -> None:
        flip(old())

    def restart() -> None:
        flip(old())
        mesh.restart("matcher")

    def code() -> str:
        ended = mesh.processes["matcher"].wait(20)
        assert ended == EXIT_JOURNAL_CORRUPT, ended
        return f"the matcher ends with exit code {ended} and changes nothing"

    def mend() -> None:
        flip(old())
        mesh.start("matcher")

    def grow() -> None:
        trade(mesh, lambda _: len(segments(directory)) >= 2)

    yield Break(
        "a bit of an old segment flips", break_it, break_it, "JournalDamaged", prepare=grow
    )
    yield Break(
        "the same, and the matcher restarts", restart, mend, "ExchangeNotReady", code, grow
    )


def certificates(mesh: Mesh) -> Iterator[Break]:
    def last(life: timedelta) -> None:
        certs.renew(mesh.config, life=life)
        with suppress(OSError):
            mesh.get("/live")  # the server takes a new certificate at a handshake

    def renew() -> None:
        last(certs.LEAF_LIFE)

    soon, now = timedelta(days=10), timedelta(seconds=3)
    yield Break(SOON, lambda: last(soon), renew, "CertExpiresSoon")
    yield Break(NOW, lambda: last(now), renew, "ExchangeAbsent")


@contextmanager
def exchange(directory: Path, **sections: Any) -> Iterator[tuple[Mesh, Prometheus]]:
    """With a Prometheus that has seen it healthy."""
    with (
        Mesh(directory, MEMBERS, journal=JOURNAL, **sections) as mesh,
        Prometheus(mesh.config, directory) as prometheus,
    ):
        wait(lambda: well(mesh), WELL_S_MAX, "healthy")
        wait(lambda: prometheus.query("rtes_healthy == 1") != [], 30, "scraped")
        yield mesh, prometheus


@contextmanager
def small_disk(directory: Path) -> Iterator[bool]:
    """A tmpfs of 16 MiB where the journal will be; False when it cannot be mounted."""
    journal = directory / "run" / "journal"
    journal.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(journal)]
    mounted = os.getuid() == 0 and subprocess.run(mount, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(journal)], check=True)


def run(only: str, console: Console) -> Iterator[Seen]:
    """Every row whose name contains only."""

    def rows(pair: tuple[Mesh, Prometheus], breaks: Iterator[Break]) -> Iterator[Seen]:
        for it in breaks:
            if only in it.name:
                console.print(f"{it.name}; {it.alert} is to say so ...", style="dim")
                yield drill(*pair, it)

    def plain(mesh: Mesh, has_small_disk: bool) -> Iterator[Break]:
        yield from processes(mesh)
        yield from files(mesh)
        yield flood(mesh)
        yield from damage(mesh)
        if has_small_disk:
            yield disk(mesh)
        else:
            console.print("left out: the full disk, for a tmpfs cannot be mounted here")

    limit = {"messages_per_s_max": LIMIT_PER_S}
    with (
        tempfile.TemporaryDirectory() as name,
        small_disk(Path(name)) as mounted,
        exchange(Path(name), session=limit) as pair,
    ):
        yield from rows(pair, plain(pair[0], mounted))
    if any(only in name for name in (SOON, NOW)):
        with (
            tempfile.TemporaryDirectory() as name,
            exchange(Path(name), security={"tls": True}) as pair,
        ):
            yield from rows(pair, certificates(pair[0]))


def seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


HEAD: Final = ("broken", "`/health` said", "after", "`/live`", "page", "Prometheus", "well again")


def cells(seen: Seen) -> tuple[str, ...]:
    alert = f"{seen.alert} {seen.state} {seconds(seen.alert_s)}"
    return (
        seen.broken, seen.health, seconds(seen.health_s), str(seen.live or "no answer"),
        seconds(seen.page_s), alert, seconds(seen.well_s),
    )  # fmt: skip


@click.command(help=__doc__)
@click.option("--only", default="", metavar="TEXT", help="breaks whose name contains this")
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(only: str, as_json: bool) -> None:
    where = environment()
    found = []
    for seen in run(only, Console(stderr=True)):
        found.append(seen)
        if not as_json:
            if len(found) == 1:
                click.echo(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
            click.echo(f"| {' | '.join(cells(seen))} |")
    result = {"rows": [seen._asdict() for seen in found], "environment": where}
    if not found:
        raise click.UsageError(f"nothing to break is called {only!r}")
    show(result, as_json, Table(title="all was seen and mended"))


if __name__ == "__main__":
    main()
