"""A stretch of a document as a sequence in the cache: text, tokens and keys kept in step."""

from __future__ import annotations

from .cache.sequence import Sequence
from .loaded_model import LoadedModel
from .text.tokenized_text import Change, Splice, TailToken, TokenizedText

CHARACTERS_PER_TOKEN = 3.2  # of code, for a first guess at how much fits
SHARE_BEFORE = 0.75


class Window:
    """The code points [start, end) of a document. The sequence may carry a tail of generated tokens."""

    def __init__(self, model: LoadedModel, text: str, start: int, end: int, cursor: int) -> None:
        self.start = start
        self.tokenized = TokenizedText(
            model.tokenizer, model.layout, text[start:end], cursor - start
        )
        self.sequence = Sequence(model.transformer, model.arena)
        self.sequence.splice(0, 0, self.tokenized.ids)
        self.n_own_tokens = len(self.sequence)
        self.tail: tuple[TailToken, ...] = ()
        self.accepted: tuple[int, int] | None = (
            None  # positions moved by an accept or a jump, not yet repaired
        )

    @property
    def end(self) -> int:
        return self.start + len(self.tokenized.text)

    @property
    def cursor(self) -> int:
        return self.start + self.tokenized.cursor

    def edit(self, start: int, end: int, replacement: str) -> None:
        """Replaces characters of the document that lie within the window."""
        self._apply(
            self.tokenized.edit(start - self.start, end - self.start, replacement, self.tail)
        )

    def move_cursor(self, offset: int) -> None:
        """Puts the cursor at an offset of the document within the window."""
        if offset != self.cursor:
            self.drop_tail()
            self._apply(self.tokenized.move_cursor(offset - self.start))

    def slide(self, text: str, start: int, end: int) -> None:
        """Makes the window [start, end) of `text`, which it overlaps, by edits at both ends."""
        self.drop_tail()
        if end < self.end:
            self._apply(self.tokenized.edit(end - self.start, self.end - self.start, ""))
        elif self.end < end:
            at = self.end - self.start
            # behind the cursor even where the window ends with it
            self._append_behind(at, text[self.end : end])
        if self.start < start:
            self._apply(self.tokenized.edit(0, start - self.start, ""))
        elif start < self.start:
            self._apply(self.tokenized.edit(0, 0, text[start : self.start]))
        self.start = start

    def _append_behind(self, at: int, added: str) -> None:
        cursor = self.tokenized.cursor
        self._apply(self.tokenized.edit(at, at, added))
        self._apply(self.tokenized.move_cursor(cursor))

    def add_to_tail(self, tokens: list[TailToken]) -> None:
        """Notes the generated tokens that the sequence now carries behind its own."""
        self.tail = tuple(tokens)

    def drop_tail(self) -> None:
        """Drops what the sequence carries behind its own tokens."""
        self.tail = ()
        if self.n_own_tokens < len(self.sequence):
            self.sequence.truncate(self.n_own_tokens)

    def _apply(self, changes: list[Change]) -> None:
        for change in changes:
            if isinstance(change, Splice):
                self.sequence.splice(change.start, change.end, change.tokens)
                self.n_own_tokens += len(change.tokens) - (change.end - change.start)
                self.accepted = None
                continue
            self.sequence.move(change.start, change.end, change.to)
            n_moved = change.end - change.start
            if self.n_own_tokens <= change.start:  # out of the tail
                self.n_own_tokens += n_moved
            self.accepted = (change.to, change.to + n_moved)
        self.drop_tail()

    def n_pending_before_suffix(self) -> int:
        """Pending tokens that a completion needs: all that come before the text behind the cursor."""
        layout = self.tokenized.layout
        if layout.is_suffix_first or not layout.has_suffix:
            return self.sequence.n_pending
        limit = self.tokenized.suffix_span[0]
        return int((self.sequence.pending_positions() < limit).sum())


def choose_stretch(text: str, cursor: int, n_tokens: int) -> tuple[int, int]:
    """The code points around a cursor that about n_tokens hold, cut at lines; a definition first, where one is near."""
    room = int(n_tokens * CHARACTERS_PER_TOKEN)
    if len(text) <= room:
        return 0, len(text)
    start = max(0, cursor - int(room * SHARE_BEFORE))
    end = min(len(text), start + room)
    start = max(0, end - room)
    if start > 0:
        start = _line_start(text, start, cursor)
    if end < len(text):
        found = text.rfind("\n", cursor, end)
        end = found + 1 if found >= 0 else end
    return start, end


def _line_start(text: str, start: int, cursor: int) -> int:
    first = text.find("\n", start, cursor) + 1
    if first == 0:
        return start
    line = first
    while line and line < cursor and line - first < 2000:
        if not text[line].isspace() and text[line] not in ")]}#":
            return line
        line = text.find("\n", line, cursor) + 1
    return first
