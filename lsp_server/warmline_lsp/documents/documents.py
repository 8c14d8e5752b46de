"""Open documents and their edits, in code points; `text_units.py` converts the client's positions.

A Document never changes; an edit creates a new one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lsprotocol import types

from warmline_lsp.errors import DocumentSyncError

from .changes import apply_changes, is_whole, ordered
from .difference import Edit, difference
from .text_units import Encoding, clean, code_points, line_breaks, units

MAX_TEXT = 2_000_000  # characters; a longer document is not served
# a document beyond either limit is not even followed: each key costs a copy of its text and of its line index
MAX_FOLLOWED = 4 * MAX_TEXT  # characters
MAX_FOLLOWED_LINES = 400_000  # of a document that is too long to be served
_MAX_SINGLE_CHANGES = 32  # of one notification, applied one by one


@dataclass(frozen=True)
class Document:
    """The text of one URI at one version. `line_starts` are offsets; there is always a first line.

    `version` rises with each change; `client_version` is the number that the client sent last. A document that is
    too large for completions is still followed, so that it is served again when it becomes smaller. The text is
    empty if it is unknown: out of sync, or too large to be followed.
    """

    uri: str
    language: str
    version: int
    text: str
    line_starts: tuple[int, ...]
    encoding: Encoding
    client_version: int = 0
    raw: str | None = None  # the text with unpaired surrogates, if it has any
    is_unfollowed: bool = False
    is_out_of_sync: bool = False

    @classmethod
    def open(cls, uri: str, language: str, version: int, text: str, encoding: Encoding) -> Document:
        return cls(uri, language, version, "", (0,), encoding, version).with_text(text)

    @property
    def is_too_large(self) -> bool:
        """Whether the text is too long to be served."""
        return self.is_unfollowed or len(self.text) > MAX_TEXT

    @property
    def is_servable(self) -> bool:
        """Whether the text is known to equal the client's and is short enough."""
        return not (self.is_too_large or self.is_out_of_sync)

    def apply(self, edit: Edit) -> Document:
        """The document after an edit.

        Raises: DocumentSyncError if the edit lies outside the text.
        Cost: one copy of the text and of the line index; only lines near the edit are searched.
        """
        start, end = edit.start, edit.end
        if not 0 <= start <= end <= len(self.text):
            raise DocumentSyncError(f"an edit of [{start}, {end}) in {len(self.text)} characters")
        text = self.text[:start] + edit.text + self.text[end:]
        shift = len(edit.text) - (end - start)
        # the edit may create or break a \r\n, so one more line on each side is searched
        first = max(0, bisect_right(self.line_starts, start) - 2)
        last = min(len(self.line_starts), bisect_right(self.line_starts, end) + 1)
        begin = self.line_starts[first]
        stop = self.line_starts[last] + shift if last < len(self.line_starts) else len(text)
        middle = [begin, *line_breaks(text[begin:stop], begin)]
        if last < len(self.line_starts) and middle[-1] == stop and len(middle) > 1:
            middle.pop()
        after = [line_start + shift for line_start in self.line_starts[last:]]
        return replace(self, text=text, line_starts=(*self.line_starts[:first], *middle, *after))

    def offset_at(self, position: types.Position) -> int:
        """The offset of a position. Past a line's end it is the line's end, past the last line the text's end."""
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
        """The document after all changes of a notification, and the edits that lead to it.

        Changes apply in the order of arrival, whatever their version: LSP guarantees the order, and some clients
        repeat versions or restart them. There are no edits if the text before or after is not servable.
        Raises: DocumentSyncError if the client's text cannot be known.
        Cost: a copy of the text for each of a few changes, a few passes over it for many.
        """
        document = replace(self, version=max(version, self.version + 1), client_version=version)
        whole = [k for k, change in enumerate(changes) if is_whole(change)]
        # a whole text makes earlier changes irrelevant
        changes = changes[whole[-1] if whole else 0 :]
        if not whole and self.is_out_of_sync:
            raise DocumentSyncError("a change of an unknown text")
        if not whole and self.is_unfollowed:
            return document, []
        if whole and len(changes[0].text) > MAX_FOLLOWED:
            return document.with_text(changes[0].text), []
        edits: list[Edit] | None = []
        if len(changes) == 1 or (len(changes) <= _MAX_SINGLE_CHANGES and not whole):
            for change in changes:
                document, edit = document._after(change)
                if document.is_unfollowed:
                    return document, []
                edits = None if edits is None or edit is None else [*edits, edit]
        else:
            edits = None
            document = document._after_all(changes)
        document = document._limited()
        if not (self.is_servable and document.is_servable):
            return document, []
        return document, difference(self.text, document.text) if edits is None else edits

    def with_text(self, raw: str) -> Document:
        """The document with another text, as the client sent it; in sync again."""
        if len(raw) > MAX_FOLLOWED:
            return self._unfollowed()
        text = clean(raw)
        return replace(
            self, text=text, raw=None if text == raw else raw, line_starts=(0, *line_breaks(text)),
            is_unfollowed=False, is_out_of_sync=False,
        )._limited()  # fmt: skip

    def out_of_sync(self, version: int) -> Document:
        """The document when the client's text is unknown. Only a whole text brings it back into sync."""
        return replace(
            self, version=max(version, self.version + 1), client_version=version, text="", raw=None,
            line_starts=(0,), is_unfollowed=False, is_out_of_sync=True,
        )  # fmt: skip

    def _after(self, change: types.TextDocumentContentChangeEvent) -> tuple[Document, Edit | None]:
        """The document after one change, and the change as one edit if it is one.

        Raises: DocumentSyncError if a position lies inside a UTF-8 character.
        """
        if isinstance(change, types.TextDocumentContentChangePartial):
            edit = self._simple_edit(change)
            if edit is not None:
                return self.apply(edit), edit
        return self._after_all([change]), None

    def _after_all(self, changes: Sequence[types.TextDocumentContentChangeEvent]) -> Document:
        raw = self.text if self.raw is None else self.raw
        return self.with_text(apply_changes(raw, changes, self.encoding))

    def _limited(self) -> Document:
        is_long = len(self.text) > MAX_TEXT and len(self.line_starts) > MAX_FOLLOWED_LINES
        return self._unfollowed() if is_long or len(self.text) > MAX_FOLLOWED else self

    def _unfollowed(self) -> Document:
        return replace(
            self, text="", raw=None, line_starts=(0,), is_unfollowed=True, is_out_of_sync=False
        )

    def _simple_edit(self, change: types.TextDocumentContentChangePartial) -> Edit | None:
        """The edit of a range; None if half a surrogate pair is added, removed or left."""
        if self.raw is not None or clean(change.text) != change.text:
            return None
        start, end = map(self._exact_offset, ordered(change.range))
        return None if start is None or end is None else Edit(start, end, change.text)

    def _exact_offset(self, position: types.Position) -> int | None:
        """As `offset_at`; None if the position lies inside a character."""
        if len(self.line_starts) <= position.line:
            return len(self.text)
        line = self.line(position.line)
        if line.isascii() or self.encoding == "utf-32":
            return self.line_starts[position.line] + min(position.character, len(line))
        n = code_points(line, position.character, self.encoding)
        is_inside = n < len(line) and units(line[:n], self.encoding) < position.character
        return None if is_inside else self.line_starts[position.line] + n
