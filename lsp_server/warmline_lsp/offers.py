"""What was offered, followed through the edits that come after: typed along, taken back, accepted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .documents import Edit

_PAIRS = ("()", "[]", "{}", '""', "''", "``")


@dataclass(frozen=True)
class Offer:
    """A completion at an offset, of which the first `n_typed` characters are in the text by now.

    `following` is what the model would say behind it, if that is known already. `others` are what was
    offered beside it, `has_others` that they were asked for, however many there were.
    """

    id: str
    offset: int
    text: str
    n_typed: int = 0
    following: str | None = None
    others: tuple[Offer, ...] = ()
    has_others: bool = False
    is_enclosed: bool = False  # the editor closed a bracket behind the cursor by itself

    @property
    def cursor(self) -> int:
        return self.offset + self.n_typed

    @property
    def rest(self) -> str:
        return self.text[self.n_typed :]

    def follow(self, edit: Edit) -> Offer | None:
        """The offer after an edit, or that of the others which the edit agrees with; None if none does."""
        others = tuple(after for other in self.others if (after := other.follow(edit)) is not None)
        if edit.start == edit.end == self.cursor and self.rest.startswith(edit.text):
            return replace(self, n_typed=self.n_typed + len(edit.text), others=others)
        if edit.start == edit.end == self.cursor and self._is_closed_by(edit.text):
            return replace(self, n_typed=self.n_typed + 1, others=others, is_enclosed=True)
        is_taken_back = edit.end == self.cursor and self.offset <= edit.start and not edit.text
        if is_taken_back:
            return replace(self, n_typed=edit.start - self.offset, others=others)
        if not others:
            return None
        return replace(others[0], others=others[1:], has_others=self.has_others)

    def _is_closed_by(self, text: str) -> bool:
        return text in _PAIRS and self.rest[:1] == text[0]
