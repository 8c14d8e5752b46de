"""A window of text with a cursor, as the tokens of a sequence, kept by the smallest splices.

Invariant: after any edits and moves the halves' tokens are a full tokenization of the text before the
cursor and of the text behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from .fim import Layout
from .half import Half, Retokenized
from .tokenizer import Tokenizer


@dataclass(frozen=True)
class Splice:
    """Replace the tokens [start, end) by `tokens`."""

    start: int
    end: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Move:
    """Take the tokens [start, end) out and put them so that they begin at `to` of what is left."""

    start: int
    end: int
    to: int


Change = Splice | Move
Key = tuple[int, int, int]  # character, how many tokens started there before, id
TailToken = tuple[int, int]  # character within the tail's text, id


class TokenizedText:
    """Tokens of `text`, cut at `cursor`, in a model's layout."""

    def __init__(
        self, tokenizer: Tokenizer, layout: Layout, text: str, cursor: int, head: str = ""
    ) -> None:
        self.layout = layout
        self._head = (*layout.front, *tokenizer.encode(head).ids)
        self._prefix = Half(tokenizer, text[:cursor])
        self._suffix = Half(tokenizer, text[cursor:] if layout.has_suffix else "")
        self._unseen = "" if layout.has_suffix else text[cursor:]

    @property
    def text(self) -> str:
        return self._prefix.text + self._suffix.text + self._unseen

    @property
    def cursor(self) -> int:
        return len(self._prefix.text)

    @property
    def n_characters_read(self) -> int:
        """Characters tokenized so far."""
        return self._prefix.n_characters_read + self._suffix.n_characters_read

    @property
    def ids(self) -> list[int]:
        """The whole sequence."""
        layout, halves = self.layout, (self._prefix.ids, self._suffix.ids)
        first, second = halves[::-1] if layout.is_suffix_first else halves
        return [*self._head, *first, *layout.between, *second, *layout.behind]

    @property
    def prefix_span(self) -> tuple[int, int]:
        """The prefix's tokens within the sequence."""
        begin = self._begin_of_prefix()
        return begin, begin + len(self._prefix)

    @property
    def suffix_span(self) -> tuple[int, int]:
        """The suffix's tokens within the sequence."""
        begin = self._begin_of_suffix()
        return begin, begin + len(self._suffix)

    @property
    def prefix_ids(self) -> list[int]:
        return self._prefix.ids

    @property
    def suffix_ids(self) -> list[int]:
        return self._suffix.ids

    @property
    def line_before(self) -> str:
        """The line that the cursor is in, up to the cursor."""
        prefix = self._prefix.text
        return prefix[prefix.rfind("\n") + 1 :]

    @property
    def last_piece(self) -> list[int]:
        """The tokens of the piece that the prefix ends with."""
        return self._prefix.ids[len(self._prefix) - self._prefix.n_in_last_piece() :]

    def edit(
        self, start: int, end: int, replacement: str, tail: tuple[TailToken, ...] = ()
    ) -> list[Change]:
        """Replaces characters; a cursor within or at the end of them comes to stand behind the replacement.

        `tail` is what the sequence carries behind its own tokens: what is put at the cursor takes those of
        them that its own tokenization has in the same places. They are moved, not encoded.
        """
        cursor = self.cursor
        if not self.layout.has_suffix:
            self._unseen = (
                self._unseen[: max(0, start - cursor)] + replacement + self._unseen[end - cursor :]
                if cursor < start
                else self._unseen[max(0, end - cursor) :]
            )
            if cursor < start:
                return []
            return self._edit_prefix(start, min(end, cursor), replacement, tail)
        if cursor < start:
            return self._edit_suffix(start - cursor, end - cursor, replacement)
        if end <= cursor:
            return self._edit_prefix(start, end, replacement, tail if end == cursor else ())
        changes = self._edit_suffix(0, end - cursor, "")
        return changes + self._edit_prefix(start, cursor, replacement, ())

    def move_cursor(self, cursor: int) -> list[Change]:
        """Puts the cursor elsewhere: the text between goes from one half to the other."""
        before, text = self.cursor, self.text
        if cursor == before:
            return []
        if not self.layout.has_suffix:
            self._unseen = text[cursor:]
            if cursor < before:
                return self._edit_prefix(cursor, before, "", ())
            return self._edit_prefix(before, before, text[before:cursor], ())
        prefix_begin, suffix_begin = self._begin_of_prefix(), self._begin_of_suffix()
        if before < cursor:
            in_prefix = self._prefix.edit(before, before, text[before:cursor])
            in_suffix = self._suffix.edit(0, cursor - before, "")
        else:
            in_suffix = self._suffix.edit(0, 0, text[cursor:before])
            in_prefix = self._prefix.edit(cursor, before, "")
        if self.layout.is_suffix_first:
            keys_a, keys_b = _keyed(in_prefix, 0, 0), _keyed(in_suffix, before, cursor)
            begins = prefix_begin + in_prefix.start, suffix_begin + in_suffix.start
            if before < cursor:
                return _carried_back(keys_a, keys_b, begins)
            return _carried_front(keys_a, keys_b, begins)
        marker: list[Key] = [(-1, 0, token) for token in self.layout.between]
        # the marker is a new token in its new place: its key differs from before by the cursor
        old_marker = [(-2, 0, token) for _, _, token in marker]
        old_a, new_a = _keyed(in_prefix, 0, 0)
        # in the suffix's own characters its text began at the old cursor, and begins at the new one
        old_b, _ = _keyed(in_suffix, before, before)
        _, new_b = _keyed(in_suffix, cursor, cursor)
        old = old_a + old_marker + old_b
        new = new_a + marker + new_b
        return _splices((old, new), prefix_begin + in_prefix.start)

    def _begin_of_prefix(self) -> int:
        begin = len(self._head)
        if self.layout.is_suffix_first:
            begin += len(self._suffix) + len(self.layout.between)
        return begin

    def _begin_of_suffix(self) -> int:
        begin = len(self._head)
        if not self.layout.is_suffix_first:
            begin += len(self._prefix) + len(self.layout.between)
        return begin

    def _edit_suffix(self, start: int, end: int, replacement: str) -> list[Change]:
        begin = self._begin_of_suffix()
        change = self._suffix.edit(start, end, replacement)
        keys = _keyed_around(change, start, end, len(replacement))
        return _splices(keys, begin + change.start)

    def _edit_prefix(
        self, start: int, end: int, replacement: str, tail: tuple[TailToken, ...]
    ) -> list[Change]:
        begin, n_tokens = self._begin_of_prefix(), len(self.ids)
        change = self._prefix.edit(start, end, replacement)
        old, new = _keyed_around(change, start, end, len(replacement))
        moves: list[Change] = []
        if tail and replacement and not any(start <= key[0] for key in old):
            first, run = _common_run(tail, new, start, len(replacement))
            if run:
                n_before = sum(1 for key in old if key[0] >= 0)
                to = begin + change.start + n_before
                moves.append(Move(n_tokens + first, n_tokens + first + len(run), to))
                old = old[:n_before] + run + old[n_before:]
        return moves + _splices((old, new), begin + change.start)


KeyPair = tuple[list[Key], list[Key]]  # old and new


def _carried_back(prefix: KeyPair, suffix: KeyPair, begins: tuple[int, int]) -> list[Change]:
    """Suffix first, a cursor that went on: what it passed leaves the suffix's front for the prefix's end."""
    (old_a, new_a), (old_b, new_b) = prefix, suffix
    at, run = _shared_run(old_b, new_a)
    begin_a, begin_b = begins[0] - len(run), begins[1]
    moves: list[Change] = []
    if run:
        moves.append(Move(begin_b + at, begin_b + at + len(run), begin_a + len(old_a)))
    old_b = old_b[:at] + old_b[at + len(run) :]
    behind = _splices((old_a + run, new_a), begin_a)
    return moves + behind + _splices((old_b, new_b), begin_b)


def _carried_front(prefix: KeyPair, suffix: KeyPair, begins: tuple[int, int]) -> list[Change]:
    """Suffix first, a cursor that went back: what it passed leaves the prefix's end for the suffix's front."""
    (old_a, new_a), (old_b, new_b) = prefix, suffix
    at, run = _shared_run(old_a, new_b)
    begin_a, begin_b = begins
    moves: list[Change] = []
    if run:
        moves.append(Move(begin_a + at, begin_a + at + len(run), begin_b))
    old_a = old_a[:at] + old_a[at + len(run) :]
    behind = _splices((old_a, new_a), begin_a + len(run))
    return moves + behind + _splices((run + old_b, new_b), begin_b)


def _shared_run(old: list[Key], new: list[Key]) -> tuple[int, list[Key]]:
    """The longest run of keys that both have: where it starts in the old ones, and the keys."""
    place_of = {key: k for k, key in enumerate(new)}
    best_at, best, n_run, expected = 0, 0, 0, None
    for k, key in enumerate(old):
        place = place_of.get(key)
        n_run = 0 if place is None else n_run + 1 if place == expected else 1
        expected = None if place is None else place + 1
        if best < n_run:
            best_at, best = k + 1 - n_run, n_run
    return best_at, old[best_at : best_at + best]


def _common_run(
    tail: tuple[TailToken, ...], new: list[Key], start: int, n_inserted: int
) -> tuple[int, list[Key]]:
    """The first run of tail tokens that the new tokens have in the same places: its start in the tail, its keys."""
    place_of = {(key[0], key[2]): k for k, key in enumerate(new) if key[0] < start + n_inserted}
    for first, (place, token) in enumerate(tail):
        k = place_of.get((start + place, token))
        if k is None:
            continue
        run: list[Key] = []
        for (place, token), key in zip(tail[first:], new[k:], strict=False):  # noqa: PLW2901
            if (start + place, token) != (key[0], key[2]) or start + n_inserted <= key[0]:
                break
            run.append(key)
        return first, run
    return 0, []


def _keyed(change: Retokenized, old_shift: int, new_shift: int) -> tuple[list[Key], list[Key]]:
    return (
        _numbered([s + old_shift for s in change.old_starts], change.old_ids),
        _numbered([s + new_shift for s in change.new_starts], change.new_ids),
    )


def _keyed_around(
    change: Retokenized, start: int, end: int, n_replaced: int
) -> tuple[list[Key], list[Key]]:
    """Old keys in the characters of the new text; a token that starts in what was replaced is unlike any."""
    shift = n_replaced - (end - start)
    places = [s if s < start else (s + shift if end <= s else -3) for s in change.old_starts]
    return _numbered(places, change.old_ids), _numbered(change.new_starts, change.new_ids)


def _numbered(places: list[int], ids: list[int]) -> list[Key]:
    keys: list[Key] = []
    for k, (place, token) in enumerate(zip(places, ids, strict=True)):
        n_before = keys[-1][1] + 1 if k and keys[-1][0] == place else 0
        keys.append((place, n_before, token))
    return keys


def _splices(keys: tuple[list[Key], list[Key]], begin: int) -> list[Change]:
    """The splices that turn the old keys into the new ones, from the back, so that each stands by itself."""
    old, new = keys
    place_of = {key: k for k, key in enumerate(old) if key[0] >= 0}
    changes: list[Change] = []
    gap_old, gap_new = 0, 0
    for k, key in enumerate([*new, None]):
        kept = len(old) if key is None else place_of.get(key, -1)
        if kept < gap_old:
            continue
        if gap_old < kept or gap_new < k:
            tokens = tuple(token for _, _, token in new[gap_new:k])
            changes.append(Splice(begin + gap_old, begin + kept, tokens))
        gap_old, gap_new = kept + 1, k + 1
    return changes[::-1]
