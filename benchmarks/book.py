"""Messages per second of the matching core alone, over five flows that a seed generates.

    python -m benchmarks.book [--messages N] [--flow NAME] [--json]

Counted is what the matcher does with a command once it is decoded: the duplicate check, matching,
and the reports as the bytes that participants receive. One at a time (reports taken after each
message, as when idle) and in batches of 64; of these also without taking the reports, which
encodes and frees them. Making the flow is not counted.
"""

import gc
import time
from typing import Any, Final

import click
from rich.table import Table
from rtes.benchmarks.flows import CENTER, SHAPES, SYMBOLS, Flow
from rtes.benchmarks.harness import environment, interleaved, median, show
from rtes.common.refdata import Instrument
from rtes.services.matcher.engine import Engine

BATCH: Final = 64
PART: Final = 64 * 512  # messages made at a time, so that a flow need not fit into memory
START_NS: Final = 1_700_000_000_000_000_000


class Desk:
    """An engine being fed; seconds counts only its own time, taking what of that is reports."""

    def __init__(self) -> None:
        instruments = [Instrument(symbol=s, reference_price=CENTER) for s in SYMBOLS]
        self.engine = Engine(0, instruments)
        self.seconds = self.taking = 0.0
        self.report_bytes = 0
        self._seq = 0

    def feed(self, commands: list[Any], batch: int) -> None:
        """Execute commands; reports are taken after every batch."""
        engine, seq = self.engine, self._seq
        apply, take = engine.apply, engine.take
        batches = [commands[at : at + batch] for at in range(0, len(commands), batch)]
        told, taking = 0, 0.0
        start = time.thread_time()
        for part in batches:
            for command in part:
                seq += 1
                apply(command, None, seq, START_NS + seq)
            applied = time.perf_counter()
            for chunk in take()[0]:
                told += len(chunk[4])
            taking += time.perf_counter() - applied
        self.seconds += time.thread_time() - start
        self.taking += taking
        self._seq = seq
        self.report_bytes += told


def measure(name: str, batch: int, messages: int, seed: int) -> dict[str, float]:
    """Messages/s of one flow, and what it left in the books."""
    flow, desk = Flow(SHAPES[name], messages, seed), Desk()
    desk.feed(flow.before(), BATCH)
    gc.collect()
    gc.freeze()
    gc.disable()
    desk.seconds, desk.taking, desk.report_bytes = 0.0, 0.0, 0
    for at in range(0, messages, PART):
        desk.feed(flow.commands(min(PART, messages - at)), batch)
    gc.enable()
    gc.unfreeze()
    resting = sum(len(p.orders) for p in desk.engine.participants.values())
    return {
        "msgs_per_s": messages / desk.seconds,
        "matching_msgs_per_s": messages / (desk.seconds - desk.taking),
        "report_bytes": desk.report_bytes / messages,
        "open_orders": resting,
    }


@click.command(help=__doc__)
@click.option("--messages", type=int, default=2_000_000, show_default=True, help="of each flow")
@click.option("--flow", "flows", type=click.Choice([*SHAPES]), multiple=True, help="only this")
@click.option("--repetitions", type=int, default=1, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(messages: int, flows: tuple[str, ...], repetitions: int, seed: int, as_json: bool) -> None:
    cells = [(name, batch) for name in flows or SHAPES for batch in (1, BATCH)]

    def run(cell: tuple[str, int], r: int) -> dict[str, float]:
        return measure(*cell, messages, seed + r)

    found = interleaved(cells, repetitions, run)
    table = Table("flow", "one at a time, msgs/s", f"batches of {BATCH}", "without their reports",
                  "open at the end")  # fmt: skip
    by_flow: dict[str, dict[str, float]] = {}
    for name in flows or SHAPES:
        one = median(x["msgs_per_s"] for x in found[name, 1])
        many = median(x["msgs_per_s"] for x in found[name, BATCH])
        bare = median(x["matching_msgs_per_s"] for x in found[name, BATCH])
        resting = median(x["open_orders"] for x in found[name, 1])
        by_flow[name] = {"one_at_a_time": one, "batches": many, "without_reports": bare,
                         "open_orders": resting}  # fmt: skip
        table.add_row(name, f"{one:,}", f"{many:,}", f"{bare:,}", f"{resting:,}")
    where = environment()
    result = {
        "worst_msgs_per_s": min(x["batches"] for x in by_flow.values()),
        "worst_one_at_a_time_msgs_per_s": min(x["one_at_a_time"] for x in by_flow.values()),
        "by_flow": by_flow,
        "messages": messages,
        "batch": BATCH,
        "compiled": where["compiled"],
        "environment": where,
    }
    show(result, as_json, table)


if __name__ == "__main__":
    main()
