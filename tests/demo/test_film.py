"""The animated picture of an edit."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from demo.film import END_TICKS, TICK_S, Frame, frame_of, svg

SVG = "{http://www.w3.org/2000/svg}"
PICTURE = Path(__file__).resolve().parents[2] / "docs" / "edit.svg"


def lines_of(picture: str) -> list[list[str]]:
    """The lines of text of each frame."""
    root = ET.fromstring(picture)
    return [
        ["".join(text.itertext()) for text in group.iter(f"{SVG}text")]
        for group in root.iter(f"{SVG}g")
    ]


def test_a_suggestion_is_in_its_line_and_below() -> None:
    frame = frame_of("a\nif x:\n    \nz", 12, "y = 1\n    w")
    assert frame.lines[:5] == ("a", "if x:", "    y = 1", "    w", "z")
    assert (frame.row, frame.column, frame.ghost, frame.n_ghost) == (2, 4, "y = 1", 1)


def test_a_suggestion_goes_before_the_rest_of_the_line() -> None:
    frame = frame_of("f(a)", 2, "b, ")
    assert frame.lines[0] == "f(b, a)"
    assert frame.n_ghost == 0


def test_text_is_escaped_and_each_frame_has_its_time() -> None:
    frames = [
        frame_of("a < b && c", 5, "<x>"),
        Frame(("done",), 0, 4, "", 0, "accepts a line", 4),
    ]
    picture = svg(frames)
    assert lines_of(picture) == [["a < b<x> && c"], ["done", "accepts a line"]]
    total = f"{(1 + 4 + END_TICKS) * TICK_S:.2f}s"
    assert picture.count(f" {total} step-end ") == 2
    assert f"step-end {TICK_S:.2f}s infinite" in picture


def test_the_picture_of_the_readme_is_a_replay() -> None:
    """It ends with the text that the author wrote."""
    session = Path(__file__).resolve().parents[2] / "demo" / "session"
    author = (session / "sorteddict-2.4.0.py.txt").read_text().splitlines()
    *_, last = lines_of(PICTURE.read_text())
    assert len(last) > 3
    assert all(line in author for line in last)
    assert any("<tspan" in group for group in PICTURE.read_text().split("<g ")), "suggestions"
