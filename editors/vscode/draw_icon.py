"""Draws icon.png: three lines of code, a cursor, and ghost text after it. Run it after you change the drawing."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

SIZE, SAMPLES = 128, 4
DARK, TEXT, CURSOR, GHOST = (30, 36, 48), (143, 163, 191), (255, 157, 60), (153, 102, 53)
# x, y, width, height, radius, colour; the first is the background
SHAPES = (
    (0, 0, 128, 128, 24, DARK),
    (22, 32, 52, 10, 5, TEXT),
    (34, 59, 30, 10, 5, TEXT),
    (70, 52, 5, 24, 2.5, CURSOR),
    (81, 59, 27, 10, 5, GHOST),
    (34, 86, 44, 10, 5, GHOST),
)


def colour_at(x: float, y: float) -> tuple[int, int, int, int]:
    """The colour of a point, transparent outside of the background."""
    found = (0, 0, 0, 0)
    for left, top, width, height, radius, colour in SHAPES:
        # distance to the rectangle that the rounded one surrounds
        dx = max(left + radius - x, x - (left + width - radius), 0)
        dy = max(top + radius - y, y - (top + height - radius), 0)
        if dx * dx + dy * dy <= radius * radius:
            found = (*colour, 255)
    return found


def pixel(column: int, row: int) -> bytes:
    """The mean colour of a pixel's samples."""
    steps = [(k + 0.5) / SAMPLES for k in range(SAMPLES)]
    found = [colour_at(column + dx, row + dy) for dy in steps for dx in steps]
    alpha = sum(one[3] for one in found)
    if alpha == 0:
        return bytes(4)
    rgb = (round(sum(one[k] * one[3] for one in found) / alpha) for k in range(3))
    return bytes((*rgb, round(alpha / len(found))))


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png() -> bytes:
    rows = (b"\0" + b"".join(pixel(x, y) for x in range(SIZE)) for y in range(SIZE))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", SIZE, SIZE, 8, 6, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"".join(rows), 9))
        + chunk(b"IEND", b"")
    )


if __name__ == "__main__":
    (Path(__file__).resolve().parent / "icon.png").write_bytes(png())
