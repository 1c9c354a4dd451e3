"""Fuzz the gateway: `python -m tests.hostile --frames 10000000 --seed 1 [--mesh] [--json]`.

In process: the real core with the real risk and matcher cores behind it. With --mesh: a real
exchange over real sockets, where somebody else's orders must go on trading. Exit code 1 when
anything was unhandled.
"""

import json
import sys

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.hostile.fuzz import Fuzz
from tests.hostile.fuzz_mesh import fuzz_mesh


@click.command(help=__doc__)
@click.option("--frames", type=int, default=1_000_000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--mesh", is_flag=True, help="against real processes")
@click.option("--json", "as_json", is_flag=True, help="one JSON object, nothing else")
def main(frames: int, seed: int, mesh: bool, as_json: bool) -> None:
    ticks = track(range(frames), "fuzzing", disable=as_json)
    if mesh:
        result, found = fuzz_mesh(seed, frames, ticks)
    else:
        fuzz = Fuzz(seed)
        result, found = fuzz.run(frames, ticks), fuzz.unhandled
    if as_json:
        click.echo(json.dumps(result))
    else:
        table = Table("what", "value")
        for name, value in result.items():
            table.add_row(name, str(value))
        Console().print(table)
    for trouble in found[:10]:
        click.echo(trouble, err=True)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
