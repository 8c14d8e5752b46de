"""Deleted text: what was just deleted or cut is often what comes next, here or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

N_KEPT = 8
MIN_CHARACTERS = 8  # shorter pieces predict too little
MAX_CHARACTERS = 2000
N_BEFORE = 40  # characters before a piece, by which its place is recognized


@dataclass(frozen=True)
class _Piece:
    start: int
    before: str
    text: str


class DeletedText:
    """The pieces of a text that were deleted last, each with the characters before it."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []

    def note(self, text: str, start: int, end: int) -> None:
        """Keeps the characters [start, end) of a text, which are about to be deleted."""
        if start == end or end - start > MAX_CHARACTERS:
            return
        before, deleted = text[max(0, start - N_BEFORE) : start], text[start:end]
        last = self._pieces[-1] if self._pieces else None
        if last and end == last.start and len(last.text) < MAX_CHARACTERS:
            # the backspace key, character by character
            self._pieces[-1] = replace(last, start=start, before=before, text=deleted + last.text)
            return
        if last and len(last.text) < MIN_CHARACTERS:
            del self._pieces[-1]
        self._pieces.append(_Piece(start, before, deleted))
        del self._pieces[:-N_KEPT]

    def texts(self) -> list[str]:
        """The pieces with the characters before them, the newest last."""
        return [p.before + p.text for p in self._pieces if len(p.text) >= MIN_CHARACTERS]
