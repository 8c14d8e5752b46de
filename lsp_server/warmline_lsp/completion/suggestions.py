"""Suggestions, followed through the edits after them: typed along, taken back, accepted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from warmline_lsp.documents.difference import Edit
from warmline_protocol import wire

_PAIRS = ("()", "[]", "{}", '""', "''", "``")
_CLOSERS = frozenset(pair[1] for pair in _PAIRS)


@dataclass(frozen=True)
class Suggestion:
    """A completion at an offset, of which the first `n_typed` characters are in the document by now.

    `prefetched` is what follows it, if that is known. `others` are its alternatives; `has_others` is true once they
    were requested, even if there are none.
    """

    id: str
    offset: int
    text: str
    n_typed: int = 0
    prefetched: wire.Item | None = None
    others: tuple[Suggestion, ...] = ()
    has_others: bool = False
    is_enclosed: bool = False  # the editor has closed a bracket behind the cursor
    excluded: tuple[int, ...] = ()  # as in `wire.Item`

    @property
    def cursor(self) -> int:
        return self.offset + self.n_typed

    @property
    def remaining(self) -> str:
        return self.text[self.n_typed :]

    def is_same_rest(self, other: Suggestion) -> bool:
        """Whether another one is the same suggestion, typed as far."""
        return (self.id, self.remaining) == (other.id, other.remaining)

    def follow(self, edit: Edit) -> Suggestion | None:
        """The suggestion after an edit, or the alternative that agrees with the edit; None if none does."""
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
        # with the typed bracket the editor removes the one that it added
        if is_taken_back and self.is_enclosed and edit.end == self.cursor + 1:
            n_typed = edit.start - self.offset
            return replace(self, n_typed=n_typed, others=others, is_enclosed=False)
        if not others:
            return None
        return replace(others[0], others=others[1:], has_others=self.has_others)

    def moved(self, cursor: int, skipped: str) -> Suggestion:
        """The suggestion after the cursor moved over closing brackets, as some editors do instead of an edit."""
        is_typed_over = set(skipped) <= _CLOSERS and self.remaining.startswith(skipped)
        if skipped and cursor == self.cursor + len(skipped) and is_typed_over:
            return replace(self, n_typed=self.n_typed + len(skipped), is_enclosed=True)
        return self

    def _is_closed_by(self, text: str) -> bool:
        return text in _PAIRS and self.remaining[:1] == text[0]

    def _closes_last(self, text: str) -> bool:
        """Whether a text closes the bracket that was typed last."""
        return self.n_typed > 0 and self.text[self.n_typed - 1] + text in _PAIRS

    def _is_typed_over(self, edit: Edit) -> bool:
        """Whether a closing bracket replaces itself, as where an editor had added it."""
        is_closer = len(edit.text) == 1 == edit.end - edit.start and edit.text in _CLOSERS
        return is_closer and edit.start == self.cursor and self.remaining.startswith(edit.text)


def joined(suggestions: Sequence[Suggestion], has_others: bool) -> Suggestion:
    """The first suggestion, with the others as its alternatives."""
    first, *others = suggestions
    return replace(first, others=tuple(others), has_others=has_others)


class SuggestionMaker:
    """Gives completions an id, under which clients and statistics refer to them."""

    def __init__(self, note_offered: Callable[[str, str, int], None]) -> None:
        """`note_offered` gets the id and the text of each suggestion, and how much of it is typed already."""
        self._note_offered = note_offered
        self._ids = itertools.count(1)

    def make(self, offset: int, items: Sequence[wire.Item]) -> list[Suggestion]:
        """Suggestions at an offset."""
        made = [
            Suggestion(f"w{next(self._ids)}", offset, item.text, excluded=item.excluded)
            for item in items
        ]
        for suggestion in made:
            self._note_offered(suggestion.id, suggestion.text, 0)
        return made
