"""Text that edits took away: what was just deleted or cut is often what comes next, here or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

N_KEPT = 8
MIN_CHARACTERS = 8  # less says too little of what comes next
MAX_CHARACTERS = 2000
N_BEFORE = 40  # characters in front of what was removed, by which its place is known again


@dataclass(frozen=True)
class _Piece:
    start: int
    before: str
    text: str


class Removed:
    """The last pieces of a text that were removed, each with what stood before it."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []

    def note(self, text: str, start: int, end: int) -> None:
        """Takes notice that the characters [start, end) of a text are about to go."""
        if start == end or end - start > MAX_CHARACTERS:
            return
        before, gone = text[max(0, start - N_BEFORE) : start], text[start:end]
        last = self._pieces[-1] if self._pieces else None
        if last and end == last.start and len(last.text) < MAX_CHARACTERS:
            # the backspace key, character by character
            self._pieces[-1] = replace(last, start=start, before=before, text=gone + last.text)
            return
        if last and len(last.text) < MIN_CHARACTERS:
            del self._pieces[-1]
        self._pieces.append(_Piece(start, before, gone))
        del self._pieces[:-N_KEPT]

    def texts(self) -> list[str]:
        """The pieces, the newest last, as they stood."""
        return [p.before + p.text for p in self._pieces if len(p.text) >= MIN_CHARACTERS]
