"""Draws where an order's CPU time goes, by process, from what two benchmarks measured.

    python -m benchmarks.mesh --json > mesh.json
    python -m benchmarks.cores --json > cores.json
    python -m benchmarks.figure mesh.json cores.json > docs/performance.svg

Bars are processes in benchmarks.mesh, their dark part the core alone in benchmarks.cores: of other
orders, with refusals and trades. The rest is sockets and the journal.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

import click

WIDTH: Final = 760
LEFT: Final = 110  # of the bars
ROW: Final = 22
US: Final = 120  # pixels of a microsecond, at most
DARK: Final = {"gateway": "#1f4e79", "risk": "#7a4a00", "matcher": "#1e5f2f"}
LIGHT: Final = {
    "gateway": "#8db8e0", "risk": "#e8bf7d", "matcher": "#93cfa3", "archive": "#c4c4c4",
    "marketdata": "#d5b3dd",
}  # fmt: skip


def text(x: float, y: float, what: str, weight: str = "normal") -> str:
    style = f'font-family="sans-serif" font-size="12" font-weight="{weight}" fill="#222"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(what)}</text>'


def bar(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{ROW - 6}" fill="{colour}"/>'


def cell_rows(
    y: float, scale: float, cpu: Mapping[str, float], core: Mapping[str, float]
) -> Iterator[str]:
    """A bar per process; the core's part of it first."""
    for name, us in cpu.items():
        dark = min(core.get(name, 0.0), us) if name in DARK else 0.0
        yield text(8, y + 12, name)
        yield bar(LEFT, y, us * scale, LIGHT.get(name, "#c4c4c4"))
        if dark:
            yield bar(LEFT, y, dark * scale, DARK[name])
        told = f"{us:.2f} us" + (f", its core {dark:.2f}" if dark else "")
        yield text(LEFT + us * scale + 6, y + 12, told)
        y += ROW


def draw(mesh: Mapping[str, Any], cores: Mapping[str, Any]) -> str:
    """The SVG of the first durability's cells."""
    own = {c["orders_per_frame"]: c["cpu_us_per_order"] for c in cores["cells"]}
    cells = [c for c in mesh["cells"] if c["target"] == mesh["durability"]]
    longest = max(us for cell in cells for us in cell["cpu_us_per_order"].values())
    scale = min(US, (WIDTH - LEFT - 170) / longest)
    how = "compiled" if mesh["compiled"] else "plain Python"
    parts = [text(8, 18, f"CPU us per order by process, {how}, market data running", "bold")]
    y = 40.0
    for cell in cells:
        cpu = cell["cpu_us_per_order"]
        title = f"clients {cell['clients']}, orders a frame {cell['orders_per_frame']}"
        path = sum(cpu.get(name, 0.0) for name in DARK)
        parts.append(text(8, y, f"{title}: {path:.2f} us on an order's path", "bold"))
        parts += cell_rows(y + 8, scale, cpu, own.get(cell["orders_per_frame"], {}))
        y += ROW * len(cpu) + 34
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y - 10:.0f}">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>", ""])


@click.command(help=__doc__)
@click.argument("mesh", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("cores", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(mesh: Path, cores: Path) -> None:
    try:
        drawn = draw(json.loads(mesh.read_text()), json.loads(cores.read_text()))
    except (ValueError, KeyError) as error:
        raise click.ClickException(f"not the --json of these benchmarks: {error}") from None
    sys.stdout.write(drawn)


if __name__ == "__main__":
    main()
