"""Open documents and their edits. The one place that knows UTF-16: everywhere else an offset counts code points.

A Document never changes; an edit makes a new one.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Literal

from lsprotocol import types

from .errors import DocumentError

Encoding = Literal["utf-8", "utf-16", "utf-32"]

_LINE_BREAK = re.compile(r"\r\n|\n|\r")  # LSP's, and no others
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MOST_DIFFED_LINES = 4000


@dataclass(frozen=True)
class Edit:
    """Replace the code points [start, end) by `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Document:
    """The text of one URI at one version. `line_starts` are offsets; there is always a first line."""

    uri: str
    language: str
    version: int
    text: str
    line_starts: tuple[int, ...]
    encoding: Encoding

    @classmethod
    def open(cls, uri: str, language: str, version: int, text: str, encoding: Encoding) -> Document:
        text = clean(text)
        return cls(uri, language, version, text, (0, *_breaks(text, 0)), encoding)

    def apply(self, edit: Edit) -> Document:
        """The document after an edit.

        Raises: DocumentError, when the edit lies outside the text.
        Cost: one copy of the text and of the line index; only lines near the edit are looked at.
        """
        start, end = edit.start, edit.end
        if not 0 <= start <= end <= len(self.text):
            raise DocumentError(f"an edit of [{start}, {end}) in {len(self.text)} characters")
        text = self.text[:start] + edit.text + self.text[end:]
        shift = len(edit.text) - (end - start)
        # a line break may be made or unmade where the edit meets \r or \n, so one more line each side
        first = max(0, bisect_right(self.line_starts, start) - 2)
        last = min(len(self.line_starts), bisect_right(self.line_starts, end) + 1)
        begin = self.line_starts[first]
        stop = self.line_starts[last] + shift if last < len(self.line_starts) else len(text)
        middle = [begin, *_breaks(text[begin:stop], begin)]
        if last < len(self.line_starts) and middle[-1] == stop and len(middle) > 1:
            middle.pop()
        after = [place + shift for place in self.line_starts[last:]]
        return replace(self, text=text, line_starts=(*self.line_starts[:first], *middle, *after))

    def offset_at(self, position: types.Position) -> int:
        """The offset of a position; past a line's end it is the line's end, past the text its end."""
        if len(self.line_starts) <= position.line:
            return len(self.text)
        start = self.line_starts[position.line]
        return start + code_points(self.line(position.line), position.character, self.encoding)

    def position_at(self, offset: int) -> types.Position:
        """The position of an offset."""
        line = bisect_right(self.line_starts, offset) - 1
        start = self.line_starts[line]
        return types.Position(line, units(self.text[start:offset], self.encoding))

    def line(self, number: int) -> str:
        """A line without its break."""
        start = self.line_starts[number]
        is_last = number + 1 == len(self.line_starts)
        end = len(self.text) if is_last else self.line_starts[number + 1]
        return self.text[start:end].rstrip("\r\n")

    def changed(
        self, version: int, changes: Sequence[types.TextDocumentContentChangeEvent]
    ) -> tuple[Document, list[Edit]]:
        """The document after all changes of a notification, and the edits they are.

        Raises: DocumentError, when the version goes back or a change does not fit.
        """
        if version <= self.version:
            raise DocumentError(f"version {version} after version {self.version}")
        document, edits = replace(self, version=version), list[Edit]()
        for change in changes:
            for edit in document.edit_of(change):
                document = document.apply(edit)
                edits.append(edit)
        return document, edits

    def edit_of(self, change: types.TextDocumentContentChangeEvent) -> list[Edit]:
        """The edits of a change: one of a range, or the difference to a whole new text.

        Raises: DocumentError, when the range is reversed.
        """
        new = clean(change.text)
        if isinstance(change, types.TextDocumentContentChangeWholeDocument):
            return difference(self.text, new)
        start, end = change.range.start, change.range.end
        if (end.line, end.character) < (start.line, start.character):
            raise DocumentError(f"a reversed range, {start} to {end}")
        return [Edit(self.offset_at(start), self.offset_at(end), new)]


def clean(text: str) -> str:
    """The text with unpaired surrogates as U+FFFD, one for one."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def units(text: str, encoding: Encoding) -> int:
    """How many units of an encoding a text takes."""
    if text.isascii() or encoding == "utf-32":
        return len(text)
    if encoding == "utf-16":
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return len(text.encode("utf-8", "surrogatepass"))


def code_points(text: str, n_units: int, encoding: Encoding) -> int:
    """How many whole characters of a text fit into so many units of an encoding."""
    if text.isascii() or encoding == "utf-32":
        return min(n_units, len(text))
    codec, width = ("utf-8", 1) if encoding == "utf-8" else ("utf-16-le", 2)
    # no more characters than units; half a character at the end is left out
    units_of_text = text[:n_units].encode(codec, "surrogatepass")[: n_units * width]
    return len(units_of_text.decode(codec, "ignore"))


def difference(old: str, new: str) -> list[Edit]:
    """Edits that make `new` of `old`, from the back, so that each stands by itself: whole lines, then characters."""
    if old == new:
        return []
    a, b = old.splitlines(keepends=True), new.splitlines(keepends=True)
    head = _common(a, b)
    tail = _common(a[head:][::-1], b[head:][::-1])
    start = sum(map(len, a[:head]))
    a, b = a[head : len(a) - tail], b[head : len(b) - tail]
    if max(len(a), len(b)) > _MOST_DIFFED_LINES:
        return [_narrowed(start, "".join(a), "".join(b))]
    places = [start]
    for line in a:
        places.append(places[-1] + len(line))
    edits: list[Edit] = []
    for kind, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind != "equal":
            edits.append(_narrowed(places[i], "".join(a[i:j]), "".join(b[k:m])))
    return edits[::-1]


def _narrowed(start: int, old: str, new: str) -> Edit:
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    return Edit(start + head, start + len(old) - tail, new[head : len(new) - tail])


def _common(a: list[str] | str, b: list[str] | str) -> int:
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n


def _breaks(text: str, offset: int) -> list[int]:
    return [offset + match.end() for match in _LINE_BREAK.finditer(text)]
