"""Pictures of the results, drawn as SVG by hand: how good against how dear, one point a method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

import numpy as np

from warmline_lab.replay.layouts import served_layout
from warmline_lab.replay.records import Record

from .tables import lost, paired

WIDTH, HEIGHT, LEFT, TOP = 860, 460, 70, 30
RIGHT, BOTTOM = 560, 400  # of the plot


@dataclass(frozen=True)
class Point:
    """A way of doing something: what it costs and how good it is, with the interval of the latter."""

    name: str
    cost: float
    value: float
    low: float
    high: float
    is_filled: bool = True


def quality_against_cost(records: list[Record], suite: str) -> str:
    """Loss in nats a token with its interval over mean tokens encoded, the latter on a log scale."""
    served = served_layout(records)
    points: list[Point] = []
    for (its, layout, method), pairs in sorted(paired(records).items()):
        if its == suite and layout == served and "oracle" not in method:
            change = lost(pairs)
            cost = float(np.mean([a.n_encoded for a, _ in pairs]))
            points.append(Point(method, max(cost, 1.0), change.mean, change.low, change.high))
    if not points:
        return ""
    label = f"loss against the cold read, nats a token ({suite})"
    return plot(points, "tokens encoded, log scale", label, "+.3f", 0.0)


def plot(
    points: list[Point], x_label: str, y_label: str, form: str, line: float | None = None
) -> str:
    """Values over costs on a log scale, one point a way, as SVG. `form` is that of values; a line may cross at one."""
    marked = [] if line is None else [line]
    low = min([*marked, *(p.low for p in points)])
    high = max([*marked, *(p.high for p in points)]) or 1e-3
    least, most = min(p.cost for p in points), max(p.cost for p in points) * 1.1

    def x(cost: float) -> float:
        span = math.log(most / least) or 1.0
        return LEFT + (RIGHT - LEFT) * math.log(cost / least) / span

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - low) / ((high - low) or 1.0)

    marks: list[str] = []
    for number, point in enumerate(points):
        colour = f"hsl({360 * number // len(points)} 70% 40%)"
        fill = colour if point.is_filled else "none"
        marks.append(
            f'<path d="M{x(point.cost):.1f} {y(point.low):.1f}V{y(point.high):.1f}" stroke="{colour}"/>'
            f'<circle cx="{x(point.cost):.1f}" cy="{y(point.value):.1f}" r="4" fill="{fill}" stroke="{colour}"/>'
            f'<circle cx="590" cy="{40 + 16 * number}" r="4" fill="{fill}" stroke="{colour}"/>'
            f'<text x="600" y="{44 + 16 * number}">{escape(point.name)}</text>'
        )
    ticks = "".join(
        f'<text x="{LEFT - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{v:{form}}</text>'
        for v in np.linspace(low, high, 5)
    ) + "".join(
        f'<text x="{x(v):.1f}" y="{BOTTOM + 18}" text-anchor="middle">{v:.0f}</text>'
        for v in np.geomspace(least, most, 5)
    )
    across = "" if line is None else f"M{LEFT} {y(line):.1f}H{RIGHT}"
    height = max(HEIGHT, 60 + 16 * len(points))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="11"><rect width="{WIDTH}" height="{height}" fill="white"/>'
        f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}{across}" fill="none" stroke="#888"/>'
        f"{ticks}{''.join(marks)}"
        f'<text x="{(LEFT + RIGHT) // 2}" y="{BOTTOM + 40}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text x="14" y="200" transform="rotate(-90 14 200)" text-anchor="middle">{escape(y_label)}</text></svg>\n'
    )
