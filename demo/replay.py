"""Replays an edit key by key, and accepts a suggestion where it equals what the author wrote.

Nothing here knows a language server: `play` works on any `Editor`. Line breaks are "\\n", as editors show them.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from warmline_lsp.documents.difference import common_prefix, common_suffix

from .tally import Tally

MAX_RETYPED_LINES = 12

_KEY = re.compile(r"\n[ \t]*|.", re.DOTALL)
_LINE = re.compile(r"\s*[^\n]*")
_WORD = re.compile(r"\s*(?:\w+|[^\w\s]+)")


@dataclass(frozen=True)
class Hunk:
    """[start, end) is deleted at once, then `text` is typed at `start`.

    Units: code points of the text that the hunks before it left.
    """

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Suggestion:
    """Ghost text. A suggestion that is typed along keeps its id."""

    id: str
    text: str


class Editor(Protocol):
    """An editor that shows suggestions."""

    def move(self, offset: int) -> None:
        """Puts the cursor elsewhere."""
        ...

    async def replace(self, start: int, end: int, text: str) -> None:
        """Replaces [start, end) and puts the cursor behind the new text."""
        ...

    async def suggestion(self) -> Suggestion | None:
        """The suggestion at the cursor."""
        ...


class View(Protocol):
    """Shows what happens."""

    def begin(self, hunk: Hunk, number: int, n_hunks: int) -> None: ...

    def show(self, suggestion: Suggestion | None) -> None: ...

    def accept(self, how: str, text: str) -> None: ...


def hunks(old: str, new: str) -> list[Hunk]:
    """The edits that turn `old` into `new`, in text order, as a person would make them."""
    a, b = _lines(old), _lines(new)
    found: list[Hunk] = []
    at = 0
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        removed, added = "".join(a[i:i_end]), "".join(b[j:j_end])
        if tag != "equal":
            found.append(_hunk(new[:at], removed, added))
        at += len(added)
    return found


def retyped(text: str, n_most: int = 3) -> list[Hunk]:
    """Edits that delete the bodies of some functions and type them again.

    The functions are spread over the file; a body has at most MAX_RETYPED_LINES lines.

    Raises: SyntaxError, ValueError where the text is not Python.
    """
    bodies = [body for body in _bodies(text) if body.text.count("\n") < MAX_RETYPED_LINES]
    n = min(n_most, len(bodies))
    return [bodies[(2 * k + 1) * len(bodies) // (2 * n)] for k in range(n)]


def apply(text: str, edits: Iterable[Hunk]) -> str:
    """The text after all edits."""
    for edit in edits:
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def keys(text: str) -> list[str]:
    """What each key types. Enter brings the indentation of the new line, as in most editors."""
    return _KEY.findall(text)


def usable(suggestion: str, rest: str) -> tuple[str, str] | None:
    """What to accept of a suggestion where the author goes on with `rest`, and how.

    It is the whole suggestion, its first line or its first word: the longest that the author wrote, provided that
    typing it takes more than one key. A word counts only where it is the author's whole word.
    """
    pieces = [("whole", suggestion)]
    for how, pattern in (("line", _LINE), ("word", _WORD)):
        match = pattern.match(suggestion)
        if match:
            pieces.append((how, match.group()))
    for how, piece in pieces:
        if len(keys(piece)) > 1 and rest.startswith(piece) and not _splits_word(piece, rest):
            return how, piece
    return None


async def play(
    editor: Editor, edits: list[Hunk], tally: Tally, view: View, is_over: Callable[[], bool]
) -> bool:
    """Makes all edits; whether there was time for all of them.

    After each key it waits for the answer, as a person does who looks at the suggestion.
    """
    for number, hunk in enumerate(edits, 1):
        if is_over():
            return False
        view.begin(hunk, number, len(edits))
        editor.move(hunk.end)
        has_changed = hunk.start < hunk.end
        if has_changed:
            await editor.replace(hunk.start, hunk.end, "")
        at, end = 0, len(hunk.text)
        while at < end:
            if is_over():
                return False
            rest = hunk.text[at:]
            # an editor asks after a change, not when the cursor moves
            shown = await editor.suggestion() if has_changed else None
            tally.note_shown(shown.id if shown else None)
            view.show(shown)
            found = usable(shown.text, rest) if shown else None
            if shown and found:
                how, piece = found
                tally.accept(shown.id, how, len(keys(piece)))
                view.accept(how, piece)
            else:
                piece = keys(rest)[0]
                tally.press()
            await editor.replace(hunk.start + at, hunk.start + at, piece)
            at, has_changed = at + len(piece), True
        view.show(None)
    return True


def _lines(text: str) -> list[str]:
    """Lines with their breaks. `str.splitlines` also breaks at form feeds and others."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _hunk(before: str, removed: str, added: str) -> Hunk:
    """The replacement of whole lines behind `before`, without what stays the same."""
    at = len(before)
    if not removed and added.endswith("\n") and before:
        # a person goes to the end of the line above and presses Enter
        return Hunk(at - 1, at - 1, "\n" + added[:-1])
    head = common_prefix(removed, added)
    a, b = removed[head:], added[head:]
    tail = common_suffix(a, b)
    return Hunk(at + head, at + len(removed) - tail, b[: len(b) - tail])


def _bodies(text: str) -> list[Hunk]:
    """The bodies of functions that have their own lines, without a docstring, in text order."""
    tree = ast.parse(text)
    lines = _lines(text)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    found: list[Hunk] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        if not body or body[0].lineno <= node.lineno:
            continue
        first, last = body[0].lineno - 1, (body[-1].end_lineno or 0) - 1
        start = starts[first] + len(lines[first]) - len(lines[first].lstrip(" \t"))
        end = starts[last] + len(lines[last].rstrip("\n"))
        found.append(Hunk(start, end, text[start:end]))
    found.sort(key=lambda hunk: hunk.start)
    kept: list[Hunk] = []
    for hunk in found:  # a function within another is left to that one
        if not kept or kept[-1].end <= hunk.start:
            kept.append(hunk)
    return kept


def _splits_word(piece: str, rest: str) -> bool:
    following = rest[len(piece) : len(piece) + 1]
    return _is_word(piece[-1]) and bool(following) and _is_word(following)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
