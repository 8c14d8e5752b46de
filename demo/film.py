"""Records the last edit of a replay and draws it as an animated SVG: `python -m demo --film docs/edit.svg`."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

from .replay import Hunk, Suggestion
from .view import N_ABOVE, N_BELOW, Plain

MAX_FRAMES = 150
TICK_S, ACCEPT_TICKS, END_TICKS = 0.18, 4, 12
WIDTH, LINE_HEIGHT, MARGIN, COLUMN = 760, 20, 16, 8.4  # pixels
MAX_COLUMNS = 84


@dataclass(frozen=True)
class Frame:
    """The lines around the cursor, and where the suggestion is in them.

    The suggestion is the characters [column, column + len(ghost)) of line `row`, and the `n_ghost` lines below it.
    """

    lines: tuple[str, ...]
    row: int
    column: int
    ghost: str
    n_ghost: int
    caption: str = ""
    ticks: int = 1


def frame_of(text: str, cursor: int, ghost: str) -> Frame:
    """The frame of a text with a suggestion at the cursor."""
    before, after, shown = (
        part.expandtabs(4).split("\n") for part in (text[:cursor], text[cursor:], ghost)
    )
    first, *more = shown
    above = before[-1 - N_ABOVE : -1]
    line = before[-1] + first + ("" if more else after[0])
    n_rows = N_ABOVE + 1 + N_BELOW
    lines = ([*above, line, *more, *after[1:]] + [""] * n_rows)[:n_rows]
    n_ghost = min(len(more), n_rows - len(above) - 1)
    return Frame(tuple(lines), len(above), len(before[-1]), first, n_ghost)


class Film(Plain):
    """Records a frame for each key of the last edit, and prints what `Plain` prints."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Frame] = []

    def begin(self, hunk: Hunk, number: int, n_hunks: int) -> None:
        """An edit begins; earlier ones are forgotten."""
        super().begin(hunk, number, n_hunks)
        self.frames = []

    def show(self, suggestion: Suggestion | None) -> None:
        """A suggestion is shown, or none."""
        super().show(suggestion)
        assert self.editor
        if len(self.frames) < MAX_FRAMES:
            ghost = suggestion.text if suggestion else ""
            self.frames.append(frame_of(self.editor.document.text, self.editor.cursor, ghost))

    def accept(self, how: str, text: str) -> None:
        """Text of the suggestion is accepted: its frame stays longer."""
        super().accept(how, text)
        if self.frames:
            last = self.frames[-1]
            self.frames[-1] = Frame(
                last.lines, last.row, last.column, last.ghost, last.n_ghost,
                f"accepts {'the suggestion' if how == 'whole' else f'a {how}'}", ACCEPT_TICKS,
            )  # fmt: skip


def svg(frames: list[Frame]) -> str:
    """An animated picture that shows the frames one after the other, for ever."""
    n_ticks = sum(frame.ticks for frame in frames) + END_TICKS
    height = 2 * MARGIN + (N_ABOVE + 1 + N_BELOW + 1) * LINE_HEIGHT
    duration = f"{n_ticks * TICK_S:.2f}s"
    lengths = {frame.ticks for frame in frames[:-1]} | {frames[-1].ticks + END_TICKS}
    rules = [
        f"@keyframes t{n} {{ 0% {{ opacity: 1 }} {100 * n / n_ticks:.4f}%, 100% {{ opacity: 0 }} }}"
        for n in sorted(lengths)
    ]
    groups: list[str] = []
    at = 0
    for k, frame in enumerate(frames):
        is_last = k == len(frames) - 1
        n = frame.ticks + (END_TICKS if is_last else 0)
        style = f"animation: t{n} {duration} step-end {at * TICK_S:.2f}s infinite"
        groups.append(
            f'<g class="f{" last" if is_last else ""}" style="{style}">{_drawn(frame)}</g>'
        )
        at += n
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="An edit with suggestions">',
            "<style>",
            "text { font: 14px ui-monospace, Menlo, Consolas, monospace; white-space: pre; fill: #d4d4d4 }",
            ".ghost { fill: #7f848e; font-style: italic } .caption { fill: #9cdcfe } .f { opacity: 0 }",
            *rules,
            "@media (prefers-reduced-motion) { .f { animation: none !important } .last { opacity: 1 } }",
            "</style>",
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#1e1e1e"/>',
            *groups,
            "</svg>",
            "",
        ]
    )


def _drawn(frame: Frame) -> str:
    drawn: list[str] = []
    for row, line in enumerate(line[:MAX_COLUMNS] for line in frame.lines):
        y = MARGIN + (row + 0.75) * LINE_HEIGHT
        is_ghost = frame.row < row <= frame.row + frame.n_ghost
        if row == frame.row:
            a, b = frame.column, frame.column + len(frame.ghost)
            x = MARGIN + min(a, MAX_COLUMNS) * COLUMN
            drawn.append(
                f'<rect x="{x:.1f}" y="{y - 14:.1f}" width="2" height="17" fill="#aeafad"/>'
            )
            ghost = f'<tspan class="ghost">{escape(line[a:b])}</tspan>' if line[a:b] else ""
            content = f"{escape(line[:a])}{ghost}{escape(line[b:])}"
        else:
            content = escape(line)
        kind = ' class="ghost"' if is_ghost else ""
        if content:
            drawn.append(
                f'<text x="{MARGIN}" y="{y:.1f}" xml:space="preserve"{kind}>{content}</text>'
            )
    if frame.caption:
        y = MARGIN + (len(frame.lines) + 0.75) * LINE_HEIGHT
        drawn.append(f'<text x="{MARGIN}" y="{y:.1f}" class="caption">{frame.caption}</text>')
    return "".join(drawn)
