"""Open documents and their edits. The one place that knows UTF-16: everywhere else an offset counts code points.

A Document never changes; an edit makes a new one.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lsprotocol import types

from warmline_lsp.errors import DocumentSyncError

from .difference import Edit, difference

Encoding = Literal["utf-8", "utf-16", "utf-32"]

_LINE_BREAK = re.compile(r"\r\n|\n|\r")  # LSP's, and no others
_SURROGATE = re.compile(r"[\ud800-\udfff]")
MAX_TEXT = 2_000_000  # characters; a longer document is not served
_MAX_SINGLE_CHANGES = 32  # of one notification, applied one by one


@dataclass(frozen=True)
class Document:
    """The text of one URI at one version. `line_starts` are offsets; there is always a first line.

    `version` rises with each change, `client_version` is what the client last gave. The text of a document that is
    too large, or out of sync, is not kept.
    """

    uri: str
    language: str
    version: int
    text: str
    line_starts: tuple[int, ...]
    encoding: Encoding
    client_version: int = 0
    raw: str | None = None  # the text with unpaired surrogates, where there are any
    is_too_large: bool = False
    is_out_of_sync: bool = False

    @classmethod
    def open(cls, uri: str, language: str, version: int, text: str, encoding: Encoding) -> Document:
        return cls(uri, language, version, "", (0,), encoding, version).with_text(text)

    @property
    def is_known(self) -> bool:
        """Whether the text is here, and the client's."""
        return not (self.is_too_large or self.is_out_of_sync)

    def apply(self, edit: Edit) -> Document:
        """The document after an edit.

        Raises: DocumentSyncError, when the edit lies outside the text.
        Cost: one copy of the text and of the line index; only lines near the edit are looked at.
        """
        start, end = edit.start, edit.end
        if not 0 <= start <= end <= len(self.text):
            raise DocumentSyncError(f"an edit of [{start}, {end}) in {len(self.text)} characters")
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
        """The document after all changes of a notification, and the edits they amount to.

        Changes apply in the order of arrival, whatever their version: LSP keeps the order, and some clients repeat
        versions or begin again. The document's own version always rises.
        Raises: DocumentSyncError, when the client's text is known to differ from this one.
        Cost: one pass over the text for many changes, one copy of it for each of a few.
        """
        document = replace(self, version=max(version, self.version + 1), client_version=version)
        whole = [k for k, c in enumerate(changes) if _is_whole(c)]
        first = whole[-1] if whole else 0
        changes = changes[first:]
        if not whole and self.is_out_of_sync:
            raise DocumentSyncError("change of an unknown text")
        if self.is_too_large and not whole:
            return document, []
        if whole and _is_long(changes[0].text):
            return document.with_text(changes[0].text), []
        if len(changes) == 1 or (len(changes) <= _MAX_SINGLE_CHANGES and not whole):
            edits: list[Edit] = []
            for change in changes:
                after, more = document.after(change)
                document, edits = after, edits + more
                if document.is_too_large:
                    return document, []
            return document, edits
        after = document.with_text(_all_changes(document, changes))
        if not (self.is_known and after.is_known):
            return after, []
        return after, difference(document.text, after.text)

    def after(self, change: types.TextDocumentContentChangeEvent) -> tuple[Document, list[Edit]]:
        """The document after one change, and its edits: one of a range, or the difference to a whole new text.

        Raises: DocumentSyncError, when the range lies outside the text or is reversed.
        """
        if isinstance(change, types.TextDocumentContentChangeWholeDocument):
            after = self.with_text(change.text)
        else:
            edit = self._simple_edit(change)
            if edit is not None:
                after = self.apply(edit)
                return (
                    (after.with_text(after.text), []) if _is_long(after.text) else (after, [edit])
                )
            after = self.with_text(_all_changes(self, [change]))
        is_known = self.is_known and after.is_known
        return after, difference(self.text, after.text) if is_known else []

    def with_text(self, raw: str) -> Document:
        """The document with another text, as the client sent it; in sync again."""
        if _is_long(raw):
            # a text that is never used is not kept, so that further changes cost nothing
            return replace(
                self, text="", raw=None, line_starts=(0,), is_too_large=True, is_out_of_sync=False
            )
        text = clean(raw)
        return replace(
            self, text=text, raw=None if text == raw else raw, line_starts=(0, *_breaks(text, 0)),
            is_too_large=False, is_out_of_sync=False,
        )  # fmt: skip

    def out_of_sync(self, version: int) -> Document:
        """The document once the client's text is not known any more: only a whole new text makes it known again."""
        return replace(
            self, version=max(version, self.version + 1), client_version=version, text="", raw=None,
            line_starts=(0,), is_too_large=False, is_out_of_sync=True,
        )  # fmt: skip

    def _simple_edit(self, change: types.TextDocumentContentChangePartial) -> Edit | None:
        """The edit of a range; None where half a surrogate pair is added, removed or left."""
        start, end = _checked(change.range, len(self.line_starts))
        if self.raw is not None or clean(change.text) != change.text:
            return None
        offsets = self._exact_offset(start), self._exact_offset(end)
        if offsets[0] is None or offsets[1] is None:
            return None
        return Edit(offsets[0], offsets[1], change.text)

    def _exact_offset(self, position: types.Position) -> int | None:
        """The offset of a position, None where it lies inside a character."""
        if len(self.line_starts) <= position.line:
            return len(self.text)
        line = self.line(position.line)
        if line.isascii() or self.encoding == "utf-32":
            return self.line_starts[position.line] + min(position.character, len(line))
        n = code_points(line, position.character, self.encoding)
        is_inside = n < len(line) and units(line[:n], self.encoding) < position.character
        return None if is_inside else self.line_starts[position.line] + n


def _is_long(text: str) -> bool:
    return len(text) > MAX_TEXT


def _is_whole(change: types.TextDocumentContentChangeEvent) -> bool:
    return isinstance(change, types.TextDocumentContentChangeWholeDocument)


def _checked(where: types.Range, n_lines: int) -> tuple[types.Position, types.Position]:
    """The ends of a range. A line's end and the text's end may be exceeded, as LSP and many clients have it.

    Raises: DocumentSyncError, when the range is reversed or begins below the text.
    """
    start, end = where.start, where.end
    if (end.line, end.character) < (start.line, start.character):
        raise DocumentSyncError("a reversed range")
    if n_lines <= start.line:
        raise DocumentSyncError(f"a range from line {start.line} on in {n_lines} lines")
    return start, end


def _all_changes(
    document: Document, changes: Sequence[types.TextDocumentContentChangeEvent]
) -> str:
    """The client's text after changes, whole lines being replaced in a list of lines.

    It may hold halves of surrogate pairs, as the client's own does.
    Raises: DocumentSyncError, as `Document.after`.
    """
    raw = document.text if document.raw is None else document.raw
    lines = split_lines(raw)
    for change in changes:
        if isinstance(change, types.TextDocumentContentChangeWholeDocument):
            lines = split_lines(change.text)
            continue
        start, end = _checked(change.range, len(lines))
        last = min(end.line, len(lines) - 1)
        head, _ = _cut(lines[start.line], start.character, document.encoding)
        is_past = len(lines) <= end.line
        tail = "" if is_past else _cut(lines[last], end.character, document.encoding)[1]
        text, first, stop = head + change.text + tail, start.line, last + 1
        # a line break may be made or unmade where the change meets \r or \n
        if first > 0 and text.startswith("\n") and lines[first - 1].endswith("\r"):
            first -= 1
            text = lines[first] + text
        if stop < len(lines) and text.endswith("\r") and lines[stop].startswith("\n"):
            text += lines[stop]
            stop += 1
        pieces = split_lines(_paired(text))
        if stop < len(lines):
            pieces.pop()  # what follows the last break are the lines below
        lines[first:stop] = pieces
    return "".join(lines)


def _cut(line: str, character: int, encoding: Encoding) -> tuple[str, str]:
    """A line in front of and behind a character; a surrogate pair may be cut in two.

    Raises: DocumentSyncError, when UTF-8 would be cut inside a character.
    """
    body = line.rstrip("\r\n")
    if body.isascii() or encoding == "utf-32":
        n = min(character, len(body))
        return line[:n], line[n:]
    codec, width = ("utf-8", 1) if encoding == "utf-8" else ("utf-16-le", 2)
    coded, n_bytes = body.encode(codec, "surrogatepass"), character * width
    try:
        head = coded[:n_bytes].decode(codec, "surrogatepass")
        tail = coded[n_bytes:].decode(codec, "surrogatepass")
    except UnicodeDecodeError:
        raise DocumentSyncError("a position inside a character") from None
    return head, tail + line[len(body) :]


def _paired(text: str) -> str:
    """The text with two halves of a surrogate pair that have met as one character."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def split_lines(text: str) -> list[str]:
    """The lines with their breaks; the last one, which may be empty, has none."""
    starts = (0, *_breaks(text, 0))
    return [text[a:b] for a, b in zip(starts, (*starts[1:], len(text)), strict=True)]


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


def _breaks(text: str, offset: int) -> list[int]:
    return [offset + match.end() for match in _LINE_BREAK.finditer(text)]
