"""The learning curve as a picture: loss against tokens, on training batches and on held-out text."""

from __future__ import annotations

from typing import Any

LEFT, RIGHT, TOP, BOTTOM = 60, 560, 20, 320
N_TICKS = 5


def draw(records: list[dict[str, Any]]) -> str:
    """An SVG of a run's log: nats a token on batches, bits a byte on held-out text, against millions of tokens."""
    losses = [(r["tokens"] / 1e6, float(r["loss"])) for r in records if "loss" in r]
    heldout = [
        (r["tokens"] / 1e6, float(r["heldout_bits_per_byte"]))
        for r in records
        if "heldout_bits_per_byte" in r
    ]
    most = max(x for x, _ in losses + heldout)
    panels = _panel(losses, most, LEFT, "#2266aa") + _panel(heldout, most, RIGHT, "#aa5522")
    across = "".join(
        f'<text x="{_x(most * k / 4, most):.0f}" y="340" text-anchor="middle">{most * k / 4:.0f}</text>'
        for k in range(N_TICKS)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="370" font-family="sans-serif" '
        f'font-size="12"><rect width="640" height="370" fill="white"/>{panels}{across}'
        f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}V{TOP}" fill="none" stroke="#888"/>'
        '<text x="310" y="362" text-anchor="middle">million tokens</text>'
        f"{_title(14, '#2266aa', 'training batches, nats a token')}"
        f"{_title(626, '#aa5522', 'held-out text, bits a byte')}</svg>\n"
    )


def _panel(points: list[tuple[float, float]], most: float, axis: int, colour: str) -> str:
    """A line with its scale at an axis."""
    if not points:
        return ""
    low, high = min(y for _, y in points), max(y for _, y in points)
    span = max(high - low, 1e-9)
    line = " ".join(
        f"{_x(x, most):.1f},{TOP + (BOTTOM - TOP) * (high - y) / span:.1f}" for x, y in points
    )
    side, anchor = (axis - 8, "end") if axis == LEFT else (axis + 8, "start")
    ticks = "".join(
        f'<text x="{side}" y="{TOP + 4 + (BOTTOM - TOP) * k / 4:.0f}" text-anchor="{anchor}" '
        f'fill="{colour}">{high - span * k / 4:.2f}</text>'
        for k in range(N_TICKS)
    )
    return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>{ticks}'


def _x(tokens: float, most: float) -> float:
    return LEFT + (RIGHT - LEFT) * tokens / most


def _title(x: int, colour: str, text: str) -> str:
    return (
        f'<text x="{x}" y="170" transform="rotate(-90 {x} 170)" text-anchor="middle" '
        f'fill="{colour}">{text}</text>'
    )
