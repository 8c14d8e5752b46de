"""Pictures of the results, drawn as SVG by hand: loss against tokens encoded, one point a method."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from .layouts import served_layout
from .records import Record
from .tables import lost, paired

WIDTH, HEIGHT, LEFT, TOP = 860, 460, 70, 30
RIGHT, BOTTOM = 560, 400  # of the plot


def quality_against_cost(records: list[Record], suite: str) -> str:
    """Loss in nats a token with its interval over mean tokens encoded, the latter on a log scale."""
    served = served_layout(records)
    points: list[tuple[str, float, float, float, float]] = []
    for (its, layout, method), pairs in sorted(paired(records).items()):
        if its == suite and layout == served and "oracle" not in method:
            change = lost(pairs)
            cost = float(np.mean([a.n_encoded for a, _ in pairs]))
            points.append((method, max(cost, 1.0), change.mean, change.low, change.high))
    if not points:
        return ""
    low = min(0.0, *(p[3] for p in points))
    high = max(0.0, *(p[4] for p in points)) or 1e-3
    least, most = min(p[1] for p in points), max(p[1] for p in points) * 1.1

    def x(cost: float) -> float:
        span = math.log(most / least) or 1.0
        return LEFT + (RIGHT - LEFT) * math.log(cost / least) / span

    def y(nats: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (nats - low) / ((high - low) or 1.0)

    marks: list[str] = []
    for number, (method, cost, mean, begin, end) in enumerate(points):
        colour = f"hsl({360 * number // len(points)} 70% 40%)"
        marks.append(
            f'<path d="M{x(cost):.1f} {y(begin):.1f}V{y(end):.1f}" stroke="{colour}"/>'
            f'<circle cx="{x(cost):.1f}" cy="{y(mean):.1f}" r="4" fill="{colour}"/>'
            f'<circle cx="590" cy="{40 + 16 * number}" r="4" fill="{colour}"/>'
            f'<text x="600" y="{44 + 16 * number}">{escape(method)}</text>'
        )
    ticks = "".join(
        f'<text x="{LEFT - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{v:+.3f}</text>'
        for v in np.linspace(low, high, 5)
    ) + "".join(
        f'<text x="{x(v):.1f}" y="{BOTTOM + 18}" text-anchor="middle">{v:.0f}</text>'
        for v in np.geomspace(least, most, 5)
    )
    height = max(HEIGHT, 60 + 16 * len(points))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="11"><rect width="{WIDTH}" height="{height}" fill="white"/>'
        f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}M{LEFT} {y(0):.1f}H{RIGHT}" fill="none" stroke="#888"/>'
        f"{ticks}{''.join(marks)}"
        f'<text x="{(LEFT + RIGHT) // 2}" y="{BOTTOM + 40}" text-anchor="middle">tokens encoded, log scale</text>'
        f'<text x="14" y="200" transform="rotate(-90 14 200)" text-anchor="middle">'
        f"loss against the cold read, nats a token ({escape(suite)})</text></svg>\n"
    )
