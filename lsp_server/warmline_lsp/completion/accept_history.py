"""Remembers accepted text, to recognize an undo: what was undone is not suggested again unless requested."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from warmline_lsp.documents.difference import Edit

from .suggestions import Suggestion

_N_REMEMBERED = 8  # accepted texts, and places of undone ones
_NEAR = 400  # characters on each side of a place


@dataclass(frozen=True)
class Accepted:
    """The place of an accepted text in the document."""

    start: int
    text: str

    def follow(self, edit: Edit) -> Accepted | None:
        """The text after an edit elsewhere; None if the edit changes it."""
        if self.start + len(self.text) <= edit.start:
            return self
        if edit.end <= self.start:
            return replace(self, start=self.start + len(edit.text) - (edit.end - edit.start))
        return None

    def is_undone_by(self, edit: Edit) -> bool:
        """Whether an edit removes exactly this text."""
        return (edit.start, edit.end, edit.text) == (self.start, self.start + len(self.text), "")


@dataclass(frozen=True)
class Surroundings:
    """The text next to a place, by which the place is recognized after edits."""

    before: str
    after: str

    @classmethod
    def of(cls, text: str, offset: int) -> Surroundings:
        return cls(text[max(0, offset - _NEAR) : offset], text[offset : offset + _NEAR])


class AcceptHistory:
    """Accepted and undone texts of one document."""

    def __init__(self) -> None:
        self._accepted: deque[Accepted] = deque(maxlen=_N_REMEMBERED)
        self._undone: deque[Surroundings] = deque(maxlen=_N_REMEMBERED)

    def follow(self, edit: Edit, before: Suggestion | None, after: Suggestion | None) -> bool:
        """Follows an edit, and the suggestion before and after it; whether the edit undoes an accepted text."""
        is_undone = any(accepted.is_undone_by(edit) for accepted in self._accepted)
        moved = [found for one in self._accepted if (found := one.follow(edit)) is not None]
        self._accepted.clear()
        self._accepted += moved
        # text that is inserted at once was accepted, not typed
        is_insertion = edit.start == edit.end and len(edit.text) > 1
        n_typed = after.n_typed - before.n_typed if before and after else 0
        if not is_undone and is_insertion and n_typed == len(edit.text):
            self._accepted.append(Accepted(edit.start, edit.text))
        return is_undone

    def note_undone(self, text: str, offset: int) -> None:
        """Remembers the place of an undone text."""
        self._undone.append(Surroundings.of(text, offset))

    def is_undone_at(self, text: str, offset: int) -> bool:
        """Whether a text was undone at this place."""
        return Surroundings.of(text, offset) in self._undone
