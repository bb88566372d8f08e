"""Small graphs side by side, as an SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLUMNS = 3
WIDTH, HEIGHT, GAP = 330, 150, 20
LEFT, TOP, BOTTOM = 44, 44, 18
HEADER = 34
COLOURS = ("#3274d9", "#e0752d", "#b877d9", "#e02f44", "#8f8f8f", "#0a9d9d", "#e0b400", "#56a64b")
NAMED = {"blue": "#3274d9", "red": "#e02f44", "yellow": "#e0b400", "orange": "#e0752d", "green": "#56a64b"}
UNITS = {"s": (("s", 1), ("ms", 1e-3), ("µs", 1e-6)), "bytes": (("MB", 1e6),), "": (("k", 1e3), ("", 1))}
GREY = "#6b6b6b"


@dataclass(frozen=True)
class Graph:
    """``series`` are names with their points in time and value; ``colours`` are given to some of the names."""

    title: str
    unit: str
    series: list[tuple[str, list[tuple[float, float]]]]
    colours: dict[str, str]


@dataclass(frozen=True)
class Phase:
    """A stretch of time in which something was done, in seconds."""

    label: str
    begin: float
    end: float


def draw(graphs: Sequence[Graph], phases: Sequence[Phase], seconds: float) -> str:
    rows = -(-len(graphs) // COLUMNS)
    wide, high = COLUMNS * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP + HEADER
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="10">',
        f'<rect width="{wide}" height="{high}" fill="#fff"/>',
        *_key(phases, wide),
    ]
    for number, graph in enumerate(graphs):
        x, y = GAP + number % COLUMNS * (WIDTH + GAP), HEADER + GAP + number // COLUMNS * (HEIGHT + GAP)
        parts += [f'<g transform="translate({x} {y})">', *_graph(graph, phases, seconds), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _key(phases: Sequence[Phase], wide: int) -> list[str]:
    labels = [f"{number}: {phase.label}" for number, phase in enumerate(phases, 1)]
    each = (wide - GAP) // max(1, len(phases))
    return [
        f'<text x="{GAP + number * each}" y="26" font-size="13">{escape(label)}</text>'
        for number, label in enumerate(labels)
    ]


def _graph(graph: Graph, phases: Sequence[Phase], seconds: float) -> list[str]:
    top = _round_up(max((value for _, points in graph.series for _, value in points), default=0) or 1)
    floor = HEIGHT - BOTTOM

    def across(at: float) -> float:
        return round(LEFT + at / seconds * (WIDTH - LEFT), 1)

    def up(value: float) -> float:
        return round(floor - value / top * (floor - TOP), 1)

    parts = [f'<text x="0" y="12" font-size="12" font-weight="bold">{escape(graph.title)}</text>']
    for number, phase in enumerate(phases, 1):
        x = across(phase.begin)
        parts.append(
            f'<rect x="{x}" y="{TOP}" width="{across(phase.end) - x:.1f}" height="{floor - TOP}" fill="#f3e9dc"/>'
        )
        parts.append(f'<text x="{x + 2}" y="{TOP + 9}" fill="#a08c70" font-size="9">{number}</text>')
    for value in (0, top / 2, top):
        parts.append(f'<path d="M{LEFT} {up(value)}H{WIDTH}" stroke="#ddd" stroke-width="0.5"/>')
        label = _number(value, top, graph.unit)
        parts.append(f'<text x="{LEFT - 4}" y="{up(value) + 3}" text-anchor="end" fill="{GREY}">{label}</text>')
    parts += [
        f'<text x="{across(at)}" y="{HEIGHT - 5}" text-anchor="middle" fill="{GREY}">{at} s</text>'
        for at in range(0, int(seconds), 30)
    ]
    legend = 0.0
    for number, (name, points) in enumerate(graph.series):
        colour = NAMED.get(graph.colours.get(name, ""), COLOURS[number % len(COLOURS)])
        path = " ".join(f"{across(at)},{up(value)}" for at, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
        if legend + 5.6 * len(name) < WIDTH * 2:
            x, y = (legend, 25) if legend + 5.6 * len(name) < WIDTH else (legend - WIDTH, 37)
            parts.append(f'<text x="{max(x, 0):.0f}" y="{y}" fill="{colour}">{escape(name)}</text>')
        legend += 5.6 * len(name) + 9
    return parts


def _round_up(value: float) -> float:
    size = 10 ** math.floor(math.log10(value))
    return next(step * size for step in (1, 2, 3, 4, 6, 8, 10) if value <= step * size * 1.001)


def _number(value: float, top: float, unit: str) -> str:
    units = UNITS.get(unit, UNITS[""])
    name, size = next((found for found in units if top >= found[1]), units[-1])
    return f"{value / size:.3g}{' ' if name else ''}{name}"
