"""The emergency under load: from the operator's command to the last new order accepted.

    python -m benchmarks.emergency [--traders N] [--repetitions N] [--json]

Traders buy and cancel as fast as they are answered. Then `rtes emergency cancel-only` is run as an
operator would, and in every other run the same request is sent by an operator who is logged on
already: the first includes starting Python and logging on. Counted, in ms, is the time until the
last order was reported as accepted; and how many cancels were refused, which must be none.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
from rich.table import Table
from rtes.benchmarks.harness import environment, interleaved, median, show
from rtes.client import Client, Rejected
from rtes.client.testing import Mesh
from rtes.common.enums import OrdStatus, PartyAction
from rtes.common.messages import PartyActionRequest
from rtes.common.refusals import Code

WARM_S: Final = 1.0
AFTER_S: Final = 1.0
PRICE: Final = 57_000
COMMAND, SENT = "rtes emergency", "sent"
WAYS: Final = (COMMAND, SENT)


class Trader(threading.Thread):
    """One participant; accepted are the times at which its orders were reported as accepted."""

    def __init__(self, mesh: Mesh, account: str, stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        self._mesh, self._account, self._stopping = mesh, account, stopping
        self.accepted: list[float] = []
        self.refused = 0  # orders, for the emergency
        self.cancels = 0
        self.cancels_refused = 0
        self.other = ""  # what must not happen

    def run(self) -> None:
        with Client.connect(self._account, config=self._mesh.config, timeout_s=20.0) as client:
            open_orders = []
            while not self._stopping.is_set():
                try:
                    open_orders.append(client.buy("AAPL", 1, PRICE))
                    self.accepted.append(time.monotonic())
                except Rejected as error:
                    self.refused += 1
                    if error.code != Code.INSTRUMENT_HALTED:
                        self.other = str(error)
                # a few stay open, so that there is something to cancel after the stop
                if len(open_orders) > 20 or (self.refused and open_orders):
                    self._cancel(client, open_orders.pop(0))

    def _cancel(self, client: Client, order: Any) -> None:
        self.cancels += 1
        try:
            client.cancel(order)
        except Rejected:
            self.cancels_refused += 1
        if order.status is not OrdStatus.CANCELED:
            self.cancels_refused += 1


def emergency(mesh: Mesh, stage: str) -> None:
    subprocess.run(
        [
            sys.executable, "-m", "rtes.client.cli", "emergency", stage, "--reason", "a benchmark",
            "--profile", str(mesh.config_file),
        ],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


@contextmanager
def ready(mesh: Mesh, how: str) -> Iterator[Callable[[], object]]:
    """What stops the exchange, in either way."""
    if how == COMMAND:
        yield lambda: emergency(mesh, "cancel-only")
        return
    with Client.connect("OPS", config=mesh.config, timeout_s=20.0) as client:
        yield lambda: client.ask(PartyActionRequest(client.next_id(), PartyAction.SUSPEND))


def one_run(mesh: Mesh, how: str, traders: int) -> dict[str, float]:
    with ready(mesh, how) as stop:
        return _one_run(mesh, stop, traders)


def _one_run(mesh: Mesh, stop: Callable[[], object], traders: int) -> dict[str, float]:
    stopping = threading.Event()
    crowd = [Trader(mesh, f"DEMO{i + 1}", stopping) for i in range(traders)]
    for trader in crowd:
        trader.start()
    time.sleep(WARM_S)
    began = time.monotonic()
    stop()
    done = time.monotonic()
    time.sleep(AFTER_S)
    stopping.set()
    for trader in crowd:
        trader.join()
        if trader.other:
            raise SystemExit(f"an order was refused otherwise: {trader.other}")
    accepted = [at for trader in crowd for at in trader.accepted]
    emergency(mesh, "resume")
    return {
        "last_accepted_ms": (max(accepted) - began) * 1e3,
        "done_ms": (done - began) * 1e3,
        "orders_per_s": sum(began - WARM_S / 2 < at < began for at in accepted) / (WARM_S / 2),
        "refused": sum(trader.refused for trader in crowd),
        "cancels": sum(trader.cancels for trader in crowd),
        "cancels_refused": sum(trader.cancels_refused for trader in crowd),
    }


@click.command(help=__doc__)
@click.option("--traders", type=click.IntRange(1, 5), default=3, show_default=True)
@click.option("--repetitions", type=int, default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(traders: int, repetitions: int, as_json: bool) -> None:
    where = environment()
    with tempfile.TemporaryDirectory() as directory, Mesh(Path(directory)) as mesh:
        found = interleaved(
            WAYS, repetitions, lambda how, _: one_run(mesh, how, traders)
        )
    rows = {how: summary(runs) for how, runs in found.items()}
    names = (name.replace("_", " ") for name in rows[SENT])
    table = Table("", *names, title="the emergency under load")
    for how, row in rows.items():
        table.add_row(how, *(f"{value:,}" for value in row.values()))
    result: dict[str, Any] = {how.replace(" ", "_"): row for how, row in rows.items()}
    show(result | {"traders": traders, "environment": where}, as_json, table)


def summary(runs: list[dict[str, float]]) -> dict[str, float]:
    """Medians; the longest; cancels of all runs."""
    return {
        "last_accepted_ms": median((run["last_accepted_ms"] for run in runs), 1),
        "last_accepted_ms_max": round(max(run["last_accepted_ms"] for run in runs), 1),
        "done_ms": median((run["done_ms"] for run in runs), 1),
        "orders_per_s": median(run["orders_per_s"] for run in runs),
        "refused": sum(run["refused"] for run in runs),
        "cancels": sum(run["cancels"] for run in runs),
        "cancels_refused": sum(run["cancels_refused"] for run in runs),
    }


if __name__ == "__main__":
    main()
