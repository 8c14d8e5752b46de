"""What was offered, followed through the edits that come after: typed along, taken back, accepted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from warmline_lsp.documents.difference import Edit
from warmline_protocol import wire

_PAIRS = ("()", "[]", "{}", '""', "''", "``")
_NEAR = 400  # characters on each side of a place
_CLOSERS = frozenset(pair[1] for pair in _PAIRS)


@dataclass(frozen=True)
class Suggestion:
    """A completion at an offset, of which the first `n_typed` characters are in the text by now.

    `prefetched` is what the model would say behind it, if that is known already. `others` are what was
    offered beside it, `has_others` that they were asked for, however many there were.
    """

    id: str
    offset: int
    text: str
    n_typed: int = 0
    prefetched: wire.Item | None = None
    others: tuple[Suggestion, ...] = ()
    has_others: bool = False
    is_enclosed: bool = False  # the editor closed a bracket behind the cursor by itself
    excluded: tuple[int, ...] = ()  # as in `wire.Item`

    @property
    def cursor(self) -> int:
        return self.offset + self.n_typed

    @property
    def remaining(self) -> str:
        return self.text[self.n_typed :]

    def follow(self, edit: Edit) -> Suggestion | None:
        """The offer after an edit, or that of the others which the edit agrees with; None if none does."""
        others = tuple(after for other in self.others if (after := other.follow(edit)) is not None)
        if edit.start == edit.end == self.cursor and self.remaining.startswith(edit.text):
            return replace(self, n_typed=self.n_typed + len(edit.text), others=others)
        if edit.start == edit.end == self.cursor and self._is_closed_by(edit.text):
            return replace(self, n_typed=self.n_typed + 1, others=others, is_enclosed=True)
        if edit.start == edit.end == self.cursor and self._closes_last(edit.text):
            return replace(self, others=others, is_enclosed=True)
        if self._is_typed_over(edit):
            return replace(self, n_typed=self.n_typed + len(edit.text), others=others)
        is_taken_back = self.offset <= edit.start < edit.end and not edit.text
        if is_taken_back and edit.end == self.cursor:
            return replace(self, n_typed=edit.start - self.offset, others=others)
        # the editor takes its bracket back with the one that was typed
        if is_taken_back and self.is_enclosed and edit.end == self.cursor + 1:
            n_typed = edit.start - self.offset
            return replace(self, n_typed=n_typed, others=others, is_enclosed=False)
        if not others:
            return None
        return replace(others[0], others=others[1:], has_others=self.has_others)

    def _is_closed_by(self, text: str) -> bool:
        return text in _PAIRS and self.remaining[:1] == text[0]

    def moved(self, cursor: int, skipped: str) -> Suggestion:
        """The offer after a closing bracket that was typed over without an edit: the cursor moved behind it."""
        is_typed_over = set(skipped) <= _CLOSERS and self.remaining.startswith(skipped)
        if skipped and cursor == self.cursor + len(skipped) and is_typed_over:
            return replace(self, n_typed=self.n_typed + len(skipped), is_enclosed=True)
        return self

    def _closes_last(self, text: str) -> bool:
        """Whether a text closes the bracket that was typed last."""
        return self.n_typed > 0 and self.text[self.n_typed - 1] + text in _PAIRS

    def _is_typed_over(self, edit: Edit) -> bool:
        """Whether a closing bracket took the place of itself, as where an editor had closed it."""
        is_closer = len(edit.text) == 1 == edit.end - edit.start and edit.text in _CLOSERS
        return is_closer and edit.start == self.cursor and self.remaining.startswith(edit.text)


@dataclass(frozen=True)
class Accepted:
    """Where a text is that was accepted, to see whether it is undone."""

    start: int
    text: str

    def follow(self, edit: Edit) -> Accepted | None:
        """It after an edit elsewhere; None where the edit is in it."""
        if self.start + len(self.text) <= edit.start:
            return self
        if edit.end <= self.start:
            return replace(self, start=self.start + len(edit.text) - (edit.end - edit.start))
        return None

    def is_undone_by(self, edit: Edit) -> bool:
        """Whether an edit takes away just this."""
        return (edit.start, edit.end, edit.text) == (self.start, self.start + len(self.text), "")


@dataclass(frozen=True)
class Surroundings:
    """The text next to a place, by which it is known again."""

    before: str
    after: str

    @classmethod
    def of(cls, text: str, offset: int) -> Surroundings:
        return cls(text[max(0, offset - _NEAR) : offset], text[offset : offset + _NEAR])
