"""Draws where an order's CPU time goes, by process, and its way by stage, from two benchmarks.

    python -m benchmarks.mesh --vs-null --json > mesh.json
    python -m benchmarks.cores --json > cores.json
    python -m benchmarks.figure mesh.json cores.json > docs/performance.svg

The cores alone have other orders, with refusals and trades; what is left is sockets and journal.
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
STAGES_MS_MAX: Final = 20
US: Final = 120  # pixels of a microsecond, at most
DARK: Final = {"gateway": "#1f4e79", "risk": "#7a4a00", "matcher": "#1e5f2f"}
STAGES: Final = (  # of benchmarks.mesh; the colour of who has an order until then; in words
    ("gateway_to_risk_p50_us", "gateway", "from its arrival until risk has it"),
    ("gateway_to_matcher_p50_us", "risk", "until the matcher has it"),
    ("gateway_to_report_p50_us", "matcher", "until its report leaves"),
    ("p50_us", "client", "before and after that"),
)
LIGHT: Final = {
    "gateway": "#8db8e0", "risk": "#e8bf7d", "matcher": "#93cfa3", "archive": "#c4c4c4",
    "marketdata": "#d5b3dd", "client": "#e9e4a6",
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


def staged(mesh: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The first durability's loads that it could keep up with: beyond them is only a queue."""
    own = [row for row in mesh["latency"] if row["target"] == mesh["durability"]]
    return [row for row in own if row["p50_us"] <= STAGES_MS_MAX * 1e3]


def stage_rows(y: float, mesh: Mapping[str, Any]) -> Iterator[str]:
    """A bar per load, of where the median order is; below it the null mesh under the same load."""
    rows = {(row["target"], row["load"]): row for row in mesh["latency"]}
    own = staged(mesh)
    scale = (WIDTH - LEFT - 170) / max(row["p50_us"] for row in own)
    for row in own:
        yield text(8, y + 12, row["load"])
        before_us = 0.0
        for key, colour, _ in STAGES:
            x = LEFT + before_us * scale
            yield bar(x, y, max(0.0, row[key] - before_us) * scale, LIGHT[colour])
            before_us = max(before_us, row[key])
        told = f"{row['p50_us'] / 1e3:.2f} ms"
        null = rows.get(("null mesh", row["load"]))
        if null:
            yield bar(LEFT, y + ROW - 6, null["p50_us"] * scale, "#888")
            told += f"; null mesh {null['p50_us'] / 1e3:.2f}"
        yield text(LEFT + row["p50_us"] * scale + 6, y + 12, told)
        y += ROW + 12


def legend(y: float) -> Iterator[str]:
    x = 8.0
    for words, colour in (*((words, LIGHT[c]) for _, c, words in STAGES), ("null mesh", "#888")):
        yield bar(x, y, 16, colour)
        yield text(x + 20, y + 12, words)
        x += 34 + 6 * len(words)


def draw(mesh: Mapping[str, Any], cores: Mapping[str, Any]) -> str:
    """The SVG of the first durability's cells and loads."""
    own = {c["orders_per_frame"]: c["cpu_us_per_order"] for c in cores["cells"]}
    cells = [c for c in mesh["cells"] if c["target"] == mesh["durability"]]
    longest = max(us for cell in cells for us in cell["cpu_us_per_order"].values())
    scale = min(US, (WIDTH - LEFT - 170) / longest)
    how = "compiled" if mesh["compiled"] else "plain Python"
    title = f"CPU us per order by process, {how}; dark: the core alone, without sockets and journal"
    parts = [text(8, 18, title, "bold")]
    y = 46.0
    for cell in cells:
        cpu = cell["cpu_us_per_order"]
        title = f"clients {cell['clients']}, orders a frame {cell['orders_per_frame']}"
        path = sum(cpu.get(name, 0.0) for name in DARK)
        parts.append(text(8, y, f"{title}: {path:.2f} us on an order's path", "bold"))
        parts += cell_rows(y + 8, scale, cpu, own.get(cell["orders_per_frame"], {}))
        y += ROW * len(cpu) + 34
    parts.append(text(8, y + 8, "Where the median order is, ms since it was due, by load", "bold"))
    parts += [*legend(y + 16), *stage_rows(y + 46, mesh)]
    y += 56 + (ROW + 12) * len(staged(mesh))
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
