"""How long each service takes from its start to being ready again, on a journal of any length.

    python -m benchmarks.recovery [--commands 10000000] [--json]

Writes a journal, and a snapshot that leaves a tail of at most a million commands, then starts the
real processes on them: without the snapshot, with it, and the matcher with a torn last block too.
A follower is measured twice: until it says that it is ready, and until it has caught up. CPU time
says what a machine with nothing else to do would take.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rtes.benchmarks.harness import environment, interleaved, median, show
from rtes.benchmarks.journals import instruments_file, write_journal, write_snapshot
from rtes.client.testing import Mesh
from rtes.common import blocks
from rtes.common.journal import mapped, segments
from rtes.common.snapshots import Snapshots

TAIL: Final = 1_000_000
GOAL_S: Final = 60.0  # of 10 M commands without a snapshot
GOAL_SNAPSHOT_S: Final = 6.0  # of a snapshot and the tail
TIMEOUT_S: Final = 1_800.0
NEVER: Final = 10**9  # commands: the snapshotter is to make none of its own
SEGMENT_MIB: Final = 64  # as shipped
WHOLE, SNAPSHOT, TORN = "whole journal", "snapshot and tail", "torn tail"


class Cell(NamedTuple):
    """A service, and what it starts from."""

    service: str
    start: str


CELLS: Final = (
    *(Cell("matcher", start) for start in (WHOLE, SNAPSHOT, TORN)),
    Cell("archive", WHOLE),
    *(Cell(s, start) for s in ("risk", "marketdata", "snapshotter") for start in (WHOLE, SNAPSHOT)),
)


class Bench:
    """A mesh whose journal is written, of which one process is timed at a time."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._snapshots = mesh.paths.snapshots_dir(0)
        self._aside = self._snapshots.with_name("aside")

    def measure(self, cell: Cell, _round: int) -> dict[str, float]:
        """Seconds to ready, and to nothing being missed."""
        try:
            if cell.service == "matcher":
                self._from(cell.start)
                return self._time("matcher")
            self._from(SNAPSHOT)
            self._time("matcher")
            if cell.service != "archive":
                self._time("archive")
            self._from(cell.start)
            return self._time(cell.service)
        finally:
            for service in list(self._mesh.processes):
                self._mesh.kill(service)
                del self._mesh.processes[service]
            self._from(SNAPSHOT)

    def _from(self, start: str) -> None:
        """Put the snapshot where it is found or not; tear the journal's end."""
        if start == WHOLE and self._snapshots.exists():
            self._snapshots.rename(self._aside)
        elif start != WHOLE and self._aside.exists():
            self._aside.rename(self._snapshots)
        if start == TORN:
            tear(segments(self._mesh.paths.journal_dir(0))[-1])

    def _time(self, service: str) -> dict[str, float]:
        began = time.perf_counter()
        self._mesh.start(service)
        self._mesh.wait_ready(TIMEOUT_S)
        ready_s = time.perf_counter() - began
        while self._mesh.vitals[service]["gauges"].get("rtes_feed_lag", 0):
            self._mesh.hear(50)
        caught_up_s = time.perf_counter() - began
        vitals = self._mesh.vitals[service]
        memory = vitals["gauges"]["rtes_process_resident_memory_bytes"]
        return {
            "ready_s": ready_s,
            "caught_up_s": caught_up_s,
            "cpu_s": vitals["counters"]["rtes_process_cpu_seconds_total"],
            "memory_mib": memory / 2**20,
        }


def tear(segment: Path) -> None:
    """Append half of a block, as a process that was killed while it wrote leaves it."""
    end, crc = 0, 0
    for block in blocks.scan(mapped(segment), None):
        end, crc = block.end, block.crc
    torn = blocks.encode(0, 1, 1, 1, b"half of this is there" * 200, crc)[0]
    fd = os.open(segment, os.O_WRONLY)
    os.pwrite(fd, torn[: len(torn) // 2], end)
    os.close(fd)


def prepare(mesh: Mesh, commands: int, parts: bool, seed: int) -> dict[str, Any]:
    """Write the journal and the snapshot, of the engine alone or of all parts."""
    snapshot_at = commands - min(TAIL, commands // 5)
    console = Console(stderr=True)
    with Progress(disable=not console.is_terminal, console=console) as progress:

        def advance(label: str, total: int) -> Callable[[int], None]:
            task = progress.add_task(label, total=total)
            return lambda n: progress.advance(task, n)

        done = advance("writing the journal", commands)
        write_journal(mesh.config, commands, 0 if parts else snapshot_at, seed, done)
        if parts:
            write_snapshot(mesh.config, snapshot_at, advance("making the snapshot", snapshot_at))
    at = Snapshots(mesh.paths.snapshots_dir(0)).seqs()[0]
    journal = sum(path.stat().st_size for path in segments(mesh.paths.journal_dir(0)))
    return {"commands": commands, "tail": commands - at, "journal_mib": journal >> 20}


@click.command(help=__doc__)
@click.option("--commands", type=click.IntRange(min=1_000), default=500_000, show_default=True,
              help="in the journal")  # fmt: skip
@click.option("--service", "services", type=click.Choice(sorted({c.service for c in CELLS})),
              multiple=True, help="only this")  # fmt: skip
@click.option("--repetitions", type=int, default=1, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(
    commands: int, services: tuple[str, ...], repetitions: int, seed: int, as_json: bool
) -> None:
    cells = [c for c in CELLS if not services or c.service in services]
    parts = any(c.service not in ("matcher", "archive") for c in cells)
    journal = {"segment_mib": SEGMENT_MIB, "retention": "all", "snapshot_commands": NEVER,
               "snapshot_interval_s": 86_400}  # fmt: skip
    where = environment()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        listed = {"instruments": str(instruments_file(directory))}
        with Mesh(directory, (), journal=journal, exchange=listed) as mesh:
            made = prepare(mesh, commands, parts, seed)
            found = interleaved(cells, repetitions, Bench(mesh).measure)
    rows = [
        {"service": c.service, "from": c.start}
        | {key: median((run[key] for run in runs), 2) for key in runs[0]}
        for c, runs in found.items()
    ]
    table = Table(
        "service",
        "from",
        "ready, s",
        "caught up, s",
        "CPU, s",
        "memory, MiB",
        title=f"{commands:,} commands, {made['journal_mib']:,} MiB, tail {made['tail']:,}",
    )
    for row in rows:
        figures = [row[key] for key in ("ready_s", "caught_up_s", "cpu_s", "memory_mib")]
        table.add_row(str(row["service"]), str(row["from"]), *(f"{x:.2f}" for x in figures))
    show(summary(rows) | made | {"rows": rows, "environment": where}, as_json, table)


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """What the goals are about."""
    ready = {(row["service"], row["from"]): row["ready_s"] for row in rows}
    names = {WHOLE: "matcher_s", SNAPSHOT: "matcher_from_snapshot_s"}
    return {name: ready["matcher", start] for start, name in names.items() if
            ("matcher", start) in ready} | {
        "goal_s": GOAL_S, "goal_from_snapshot_s": GOAL_SNAPSHOT_S}  # fmt: skip


if __name__ == "__main__":
    main()
