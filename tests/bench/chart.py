"""A picture of a report: ``python -m tests.bench.chart [bench-results/latest.json [deploy/figures/bench.svg]]``.

Written by hand, since it is three groups of bars. A bar much longer than the proxy's is cut, and says so.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import msgspec

from tests.bench.contestants.ours import PROXY, RELAY
from tests.bench.figures import Figure, Table
from tests.bench.processes import ROOT
from tests.bench.report import Report

WIDTH, LABELS, BARS = 760, 170, 440
BAR, STEP, TITLE, MARGIN = 16, 24, 40, 16
CUT = 5.0  # times as long as the proxy's bar
STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 14px } .note { fill: #656d76; font-size: 12px }
.bar { fill: #afb8c1 } .ours { fill: #0969da } .cut { stroke: #ffffff; stroke-width: 3 }
rect.paper { fill: #ffffff }
"""


@dataclass(frozen=True, slots=True)
class Panel:
    """A group of bars: one column of one table."""

    key: str
    column: str
    title: str
    unit: str


PANELS = (
    Panel("paced", "CPU, us a token", "CPU per token, one every 20 ms in each stream: less is better", "µs"),
    Panel("first_token", "added to p50, ms", "Added to the time to the first token, median: less is better", "ms"),
    Panel("stall", "streams", "Most streams without a gap over 200 ms, on one core: more is better", ""),
)


def draw(report: Report) -> str:
    body: list[str] = []
    top = MARGIN
    for panel in PANELS:
        if panel.key in report.outcomes and (values := _values(report.outcomes[panel.key].table, panel.column)):
            body += _panel(panel, values, top)
            top += TITLE + STEP * len(values) + MARGIN
    versions = ", ".join(f"{name} {number}" for name, number in report.versions.items() if name != "proxy")
    body.append(f'<text class="note" x="{MARGIN}" y="{top + 8}">{escape(f"{report.machine}; {versions}")}</text>')
    size = f'width="{WIDTH}" height="{top + 24}" viewBox="0 0 {WIDTH} {top + 24}"'
    paper = f'<rect class="paper" width="{WIDTH}" height="{top + 24}" rx="6"/>'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', f"<style>{STYLE}</style>", paper, *body, "</svg>"]
    return "\n".join(lines) + "\n"


def _panel(panel: Panel, values: dict[str, float], top: int) -> list[str]:
    ours = values.get(PROXY.name, max(values.values()))
    longest = min(max(values.values()), ours * CUT)
    drawn = [f'<text class="title" x="{MARGIN}" y="{top + 20}">{escape(panel.title)}</text>']
    for row, (name, value) in enumerate(values.items()):
        y = top + TITLE + row * STEP
        length = max(min(value, longest) / longest * BARS, 1)
        drawn.append(f'<text x="{LABELS}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        kind = "ours" if name in (PROXY.name, RELAY.name) else "bar"
        x = LABELS + 10
        drawn.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        if value > longest:
            at = x + BARS - 24
            drawn.append(f'<path class="cut" d="M{at} {y + BAR + 2} l8 -{BAR + 4}"/>')
        told = f"{value:,.2f}" if value < 3 else f"{value:,.0f}"
        drawn.append(f'<text x="{x + length + 8:.1f}" y="{y + 13}">{told} {panel.unit}</text>')
    return drawn


def _values(table: Table, column: str) -> dict[str, float]:
    values = {}
    for name, row in table.rows.items():
        cell = row.get(column)
        if isinstance(cell, Figure):
            values[name] = cell.median
        elif cell and (number := re.match(r"[\d,]+", cell)):
            values[name] = float(number[0].replace(",", ""))
    return {name: value for name, value in values.items() if value > 0}


def main() -> None:
    named = [Path(argument) for argument in sys.argv[1:]]
    source = named[0] if named else ROOT / "bench-results" / "latest.json"
    picture = named[1] if len(named) > 1 else ROOT / "deploy" / "figures" / "bench.svg"
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(draw(msgspec.json.decode(source.read_bytes(), type=Report)), encoding="utf-8")
    print(picture)


if __name__ == "__main__":
    main()
