"""Shows a replay: a live view of the lines around the cursor on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Protocol

from .replay import Hunk, Suggestion, keys

DIM, BOLD, CURSOR, RESET = "\033[2m", "\033[1m", "\033[7m", "\033[0m"
N_ABOVE, N_BELOW = 4, 3
QUIET_S = 4  # without a line, before plain output shows that it still runs


class _Document(Protocol):
    @property
    def text(self) -> str: ...


class _Shown(Protocol):
    @property
    def document(self) -> _Document: ...

    @property
    def cursor(self) -> int: ...


class Plain:
    """A line for each edit and for each suggestion that is accepted."""

    def __init__(self) -> None:
        self.editor: _Shown | None = None
        self._printed_at = time.monotonic()

    def progress(self, what: str) -> None:
        """Shows how far a long step is."""
        if what and self._is_due():
            self._print(f"  {what}")

    def begin(self, hunk: Hunk, number: int, n_hunks: int) -> None:
        """An edit begins."""
        assert self.editor
        line = self.editor.document.text.count("\n", 0, hunk.start) + 1
        self._print(f"Edit {number} of {n_hunks}, line {line}: {describe(hunk)}")

    def show(self, suggestion: Suggestion | None) -> None:
        """A suggestion is shown, or none."""
        if self._is_due():
            self._print(f"  typing  | {self._line()}")

    def accept(self, how: str, text: str) -> None:
        """Text of the suggestion is accepted."""
        shown = text.replace("\n", "\n          | ")
        self._print(f"  {how:<7} | {self._line()}[{shown}]")

    def _line(self) -> str:
        """The line up to the cursor."""
        assert self.editor
        return self.editor.document.text[: self.editor.cursor].rpartition("\n")[2]

    def _is_due(self) -> bool:
        return time.monotonic() - self._printed_at > QUIET_S

    def _print(self, line: str) -> None:
        print(line, flush=True)
        self._printed_at = time.monotonic()


class Live(Plain):
    """The lines around the cursor, with the suggestion dimmed, drawn again in place after each key."""

    def __init__(self) -> None:
        super().__init__()
        self._n_drawn = 0
        self._note = ""

    def progress(self, what: str) -> None:
        """Shows how far a long step is."""
        self._draw([f"  {DIM}{what}{RESET}"] if what else [])

    def begin(self, hunk: Hunk, number: int, n_hunks: int) -> None:
        """An edit begins."""
        self._draw([])
        super().begin(hunk, number, n_hunks)
        self._note = ""

    def show(self, suggestion: Suggestion | None) -> None:
        """A suggestion is shown, or none."""
        assert self.editor
        width = shutil.get_terminal_size().columns - 1
        text, cursor = self.editor.document.text, self.editor.cursor
        ghost = suggestion.text if suggestion else ""
        lines = around(text, cursor, ghost, width)
        self._draw(["", *lines, "", f"  {DIM}{self._note}{RESET}"])

    def accept(self, how: str, text: str) -> None:
        """Text of the suggestion is accepted."""
        self._note = f"accepted ({how}): {text.strip().partition(chr(10))[0][:60].strip()}"

    def _draw(self, lines: list[str]) -> None:
        up = f"\033[{self._n_drawn}A" if self._n_drawn else ""
        sys.stdout.write(f"{up}\r\033[J" + "".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
        self._n_drawn = len(lines)


def describe(hunk: Hunk) -> str:
    """What an edit does, in words."""
    n_deleted = hunk.end - hunk.start
    deleted = f"delete {n_deleted} characters" if n_deleted else ""
    typed = f"type {len(keys(hunk.text))} keys" if hunk.text else ""
    return ", then ".join(part for part in (deleted, typed) if part)


def around(text: str, cursor: int, ghost: str, width: int) -> list[str]:
    """The lines around the cursor, always as many, with the suggestion dimmed; no line is wider than `width`."""
    before, after = text[:cursor].split("\n"), text[cursor:].split("\n")
    first, *more = [_clean(line) for line in ghost.split("\n")]
    room = width - 3
    # of a long line the end, for that is where the cursor is
    typed = _clean(before[-1])[-(room - min(len(first), room // 2)) :]
    first = first[: room - len(typed)]
    rest = "" if more else _clean(after[0])[: room - len(typed) - len(first)]
    # the cursor is on the first character of what follows
    if first:
        following = f"{CURSOR}{DIM}{first[0]}{RESET}{DIM}{first[1:]}{RESET}{rest}"
    else:
        following = f"{CURSOR}{rest[:1] or ' '}{RESET}{rest[1:]}"
    lines = [f"  {_clean(line)[:room]}" for line in before[-1 - N_ABOVE : -1]]
    lines.append(f"> {typed}{following}")
    lines += [f"  {DIM}{line[:room]}{RESET}" for line in more]
    lines += [f"  {_clean(line)[:room]}" for line in after[1 : 1 + N_BELOW]]
    n = N_ABOVE + 1 + N_BELOW
    return (lines + [""] * n)[:n]


def _clean(line: str) -> str:
    """Without characters that a terminal would act on."""
    return "".join(c if c.isprintable() else " " for c in line.expandtabs(4))
