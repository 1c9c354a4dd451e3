"""The drill: breaks one thing after the other in a real exchange and notes what the probes, the
checks and the alerts said, and after how long.

    python -m benchmarks.drill            prints the table of docs/operations.md
"""

import json
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from rtes.client import Client, Rejected
from rtes.client.testing import SERVICES, Mesh

ALL: Final = (*SERVICES, "marketdata", "snapshotter", "health")
POLL_S: Final = 0.02
SHOWN_S_MAX: Final = 30.0
WELL_S_MAX: Final = 60.0


class Seen(NamedTuple):
    """A row of the table."""

    broken: str
    said: str
    shown_s: float
    live: int
    back_s: float


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
    return f"{status} {body['status']}" + (f" ({why})" if why else "")


def wait(done: Callable[[], bool], timeout_s: float) -> float:
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > timeout_s:
            raise TimeoutError
        time.sleep(POLL_S)
    return time.monotonic() - began


def well(mesh: Mesh) -> bool:
    return bool(health(mesh)[1]["status"] == "healthy")


def drill(mesh: Mesh, broken: str, act: Callable[[], None], undo: Callable[[], None]) -> Seen:
    """Break, wait until it shows, repair, wait until all is well."""
    wait(lambda: well(mesh), WELL_S_MAX)
    act()
    shown_s = wait(lambda: not well(mesh), SHOWN_S_MAX)
    time.sleep(0.3)  # the first reason is not always the whole one
    words = said(mesh)
    live = mesh.get("/live")[0] if health(mesh)[0] else 0
    undo()
    return Seen(broken, words, shown_s, live, wait(lambda: well(mesh), WELL_S_MAX))


def rows(mesh: Mesh) -> Iterator[Seen]:
    for service in ALL:
        yield drill(
            mesh, f"kill -9 {service}",
            partial(mesh.kill, service), partial(mesh.start, service),
        )  # fmt: skip
    for service in SERVICES:
        process = mesh.processes[service]
        yield drill(
            mesh, f"SIGSTOP {service}",
            partial(process.send_signal, signal.SIGSTOP),
            partial(process.send_signal, signal.SIGCONT),
        )  # fmt: skip
    record = mesh.paths.run_dir / "deployment.json"
    audit = mesh.paths.audit_file
    yield drill(mesh, "the audit log cannot be written", audit.mkdir, audit.rmdir)
    yield metric(
        mesh, "a deployment fails", "rtes_deployment_status", 0,
        lambda: record.write_text('{"phase": "FAILED", "phase_started": 0}'), record.unlink,
    )  # fmt: skip


def metric(
    mesh: Mesh, broken: str, name: str, value: float,
    act: Callable[[], object], undo: Callable[[], object],
) -> Seen:  # fmt: skip
    """As drill, for what shows in a metric only."""

    def shows() -> bool:
        lines = mesh.get("/metrics")[1].decode().splitlines()
        return any(n.startswith(f"{name}{{") and float(n.split()[-1]) == value for n in lines)

    act()
    shown_s = wait(shows, SHOWN_S_MAX)
    live = mesh.get("/live")[0]
    undo()
    return Seen(broken, f"{name} {value:g}", shown_s, live, wait(lambda: not shows(), SHOWN_S_MAX))


@contextmanager
def trading(mesh: Mesh) -> Iterator[Client]:
    with Client.connect("DEMO1", config=mesh.config, timeout_s=20) as client:
        try:
            client.buy("AAPL", 1, 58_000)
        except Rejected as error:
            raise SystemExit(f"the drill cannot trade: {error}") from None
        yield client


def main() -> None:
    print("| broken | `/health` said | shown after | `/live` | well again after |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory, Mesh(Path(directory), ALL) as mesh:
        with trading(mesh):
            pass
        for seen in rows(mesh):
            live = seen.live or "no answer"
            print(
                f"| {seen.broken} | {seen.said} | {seen.shown_s:.1f} s | {live} "
                f"| {seen.back_s:.1f} s |",
                flush=True,
            )


if __name__ == "__main__":
    main()
