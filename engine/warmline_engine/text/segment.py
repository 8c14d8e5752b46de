"""The tokens of one half of a text, kept equal to a full tokenization while the text is edited.

Why it is enough to look at little: in a *local* tokenizer a piece depends on the text from its start up to
the next character that is no blank. So
    - piece borders at or before the last such character in front of an edit stay where they are;
    - behind an edit, a border that old and new tokens share is where they meet: all that follows is equal.
A border inside a combining sequence is no border to a normalizer, so only those before ASCII count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .tokenizer import Encoded, Tokenizer

FIRST_LOOK = 64  # characters behind an edit that are tokenized at first; doubled until tokens meet


@dataclass(frozen=True)
class Retokenized:
    """The tokens [start, end) of before are now `new`; their starts are in characters of the half."""

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
        self.n_characters_read = len(text)  # tokenized in all, to see that edits read little

    def _take(self, encoded: Encoded) -> None:
        self.ids = encoded.ids
        self.starts = encoded.starts
        self._begins = encoded.begins_piece

    def __len__(self) -> int:
        return len(self.ids)

    def index_of(self, offset: int) -> int:
        """The first token that starts at or behind an offset."""
        return int(np.searchsorted(self.starts, offset))

    def start_of(self, token_idx: int) -> int:
        """Where a token starts; the text's length for the one past the last."""
        return int(self.starts[token_idx]) if token_idx < len(self.ids) else len(self.text)

    def n_in_last_piece(self) -> int:
        """How many tokens the last piece has."""
        n_tokens = len(self.ids)
        # from the end, since a half may be long and a piece is not
        begin = next((k for k in reversed(range(n_tokens)) if self._begins[k]), n_tokens)
        return n_tokens - begin

    def stable_span(self, start: int, end: int) -> tuple[int, int]:
        """The tokens within characters that stay the same wherever the text goes: all but the pieces at its ends."""
        begin, last = self.index_of(start), self._border_before(end)
        while begin < last and not self._is_border(begin):
            begin += 1
        return begin, max(begin, last)

    def put_in_front(self, other: Segment, begin: int, end: int) -> None:
        """Puts settled tokens of another half in front, with their text. An edit where they meet is to follow."""
        first, last = other.start_of(begin), other.start_of(end)
        self.ids = other.ids[begin:end] + self.ids
        moved = other.starts[begin:end] - first
        self.starts = np.concatenate((moved, self.starts + (last - first)))
        self._begins = np.concatenate((other._begins[begin:end], self._begins))
        self.text = other.text[first:last] + self.text

    def put_behind(self, other: Segment, begin: int, end: int) -> None:
        """Puts settled tokens of another half at the end, with their text. An edit where they meet is to follow."""
        first, last = other.start_of(begin), other.start_of(end)
        self.ids = self.ids + other.ids[begin:end]
        moved = other.starts[begin:end] - first + len(self.text)
        self.starts = np.concatenate((self.starts, moved))
        self._begins = np.concatenate((self._begins, other._begins[begin:end]))
        self.text += other.text[first:last]

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
        """The last token that begins a piece at or before the last non-blank in front of an offset."""
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
        """How many of the new tokens count, and the old token they run into; None where they do not meet."""
        if stop == len(text):
            settled = stop  # the text's end settles every piece
        else:
            settled = stop - 1
            while begin <= settled and not _settles(text[settled]):
                settled -= 1
        places = encoded.starts + begin
        candidates = np.flatnonzero(
            encoded.begins_piece & (end + shift <= places) & (places <= settled)
        )
        for k in candidates.tolist():
            place = int(places[k]) - shift
            index = self.index_of(place)
            if index < len(self.ids) and self.starts[index] == place and self._is_border(index):
                return k, index
        return (len(encoded.ids), len(self.ids)) if stop == len(text) else (0, None)


def _settles(character: str) -> bool:
    # an ASCII character that is no blank: neither a run of blanks nor a combining sequence goes past it
    return character.isascii() and not character.isspace()
