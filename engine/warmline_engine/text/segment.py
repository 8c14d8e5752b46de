"""The tokens of one half of a text, kept equal to a full tokenization while the text is edited.

In a *local* tokenizer a piece depends only on the text from its start up to the next non-blank character. So an edit
needs little work:
    - piece borders at or before the last such character in front of an edit stay where they are;
    - behind an edit, old and new tokens are equal from the first border that they share.
A normalizer sees no border inside a combining sequence, so only borders before ASCII characters count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .tokenizer import Encoded, Tokenizer

FIRST_LOOK = 64  # characters behind an edit that are tokenized at first; times 4 until tokens meet


@dataclass(frozen=True)
class Retokenized:
    """The old tokens [start, end) were replaced by the new ones. Starts count characters of the segment."""

    start: int
    end: int
    old_ids: list[int]
    old_starts: list[int]
    new_ids: list[int]
    new_starts: list[int]


class Segment:
    """Text, its tokens and where each starts."""

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        self._tokenizer = tokenizer
        self.text = text
        self._take(tokenizer.encode(text))
        self.n_characters_read = len(text)  # tokenized so far, for tests that edits read little

    def _take(self, encoded: Encoded) -> None:
        self.ids = encoded.ids
        self.starts = encoded.starts
        self._begins = encoded.begins_piece

    def __len__(self) -> int:
        return len(self.ids)

    def index_of(self, offset: int) -> int:
        """The first token that starts at or behind an offset."""
        return int(np.searchsorted(self.starts, offset))

    def index_range(self, start: int, end: int) -> tuple[int, int]:
        """The tokens that start at the characters [start, end), as a range."""
        return self.index_of(start), self.index_of(end)

    def start_of(self, token_idx: int) -> int:
        """Where a token starts; for the index past the last token, the length of the text."""
        return int(self.starts[token_idx]) if token_idx < len(self.ids) else len(self.text)

    def n_in_last_piece(self) -> int:
        """How many tokens the last piece has."""
        n_tokens = len(self.ids)
        # from the end, since a segment may be long and a piece is short
        begin = next((k for k in reversed(range(n_tokens)) if self._begins[k]), n_tokens)
        return n_tokens - begin

    def stable_span(self, start: int, end: int) -> tuple[int, int]:
        """The tokens of the characters [start, end) that stay the same in any context: not the pieces at both ends."""
        begin, last = self.index_of(start), self._border_before(end)
        while begin < last and not self._is_border(begin):
            begin += 1
        return begin, max(begin, last)

    def insert_tokens(self, to: int, other: Segment, begin: int, end: int) -> None:
        """Inserts stable tokens of another segment, with their text, at one end of this one: character 0 or the last.

        Two edits must follow, at both ends of the inserted text.
        """
        assert to in (0, len(self.text)), (to, len(self.text))
        index = 0 if to == 0 else len(self.ids)
        first, last = other.start_of(begin), other.start_of(end)
        starts = other.starts[begin:end] - first + to
        self.ids = self.ids[:index] + other.ids[begin:end] + self.ids[index:]
        shifted = self.starts[index:] + (last - first)
        self.starts = np.concatenate((self.starts[:index], starts, shifted))
        parts = self._begins[:index], other._begins[begin:end], self._begins[index:]
        self._begins = np.concatenate(parts)
        self.text = self.text[:to] + other.text[first:last] + self.text[to:]

    def edit(self, start: int, end: int, replacement: str) -> Retokenized:
        """Replaces the characters [start, end)."""
        text = self.text[:start] + replacement + self.text[end:]
        shift = len(replacement) - (end - start)
        first = self._border_before(start)
        begin = self.start_of(first)
        reach = FIRST_LOOK
        while True:
            stop = min(len(text), start + len(replacement) + reach)
            if not self._tokenizer.is_local:
                stop = len(text)
            encoded = self._tokenizer.encode(text[begin:stop])
            self.n_characters_read += stop - begin
            n_new, last = self._resync(encoded, text, begin, stop, end, shift)
            if last is not None:
                break
            reach *= 4
        new = Encoded(
            encoded.ids[:n_new], encoded.starts[:n_new] + begin, encoded.begins_piece[:n_new]
        )
        change = Retokenized(
            first,
            last,
            self.ids[first:last],
            self.starts[first:last].tolist(),
            new.ids,
            new.starts.tolist(),
        )
        self.ids = self.ids[:first] + new.ids + self.ids[last:]
        self.starts = np.concatenate((self.starts[:first], new.starts, self.starts[last:] + shift))
        self._begins = np.concatenate((self._begins[:first], new.begins_piece, self._begins[last:]))
        self.text = text
        return change

    def _border_before(self, offset: int) -> int:
        """The last token that begins a piece at or before the last non-blank character in front of an offset."""
        if not self._tokenizer.is_local:
            return 0
        settled = offset - 1
        while settled >= 0 and not _settles(self.text[settled]):
            settled -= 1
        index = int(np.searchsorted(self.starts, settled, side="right")) - 1
        while index > 0 and not self._is_border(index):
            index -= 1
        return max(index, 0)

    def _is_border(self, index: int) -> bool:
        return bool(self._begins[index]) and self.text[int(self.starts[index])].isascii()

    def _resync(
        self, encoded: Encoded, text: str, begin: int, stop: int, end: int, shift: int
    ) -> tuple[int, int | None]:
        """How many new tokens to use, and the old token that follows them; None if old and new ones do not meet."""
        if stop == len(text):
            settled = stop  # at the end of the text every piece is complete
        else:
            settled = stop - 1
            while begin <= settled and not _settles(text[settled]):
                settled -= 1
        starts = encoded.starts + begin
        candidates = np.flatnonzero(
            encoded.begins_piece & (end + shift <= starts) & (starts <= settled)
        )
        for k in candidates.tolist():
            start = int(starts[k]) - shift
            index = self.index_of(start)
            if index < len(self.ids) and self.starts[index] == start and self._is_border(index):
                return k, index
        return (len(encoded.ids), len(self.ids)) if stop == len(text) else (0, None)


def _settles(character: str) -> bool:
    # a non-blank ASCII character: no run of blanks and no combining sequence goes past it
    return character.isascii() and not character.isspace()
