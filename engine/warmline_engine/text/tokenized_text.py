"""A window of text with a cursor, as the tokens of a sequence, kept by the smallest splices.

Invariant: after any edits and moves the halves' tokens are a full tokenization of the text before the
cursor and of the text behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from .cursor_move import Transfer, pass_back, pass_on
from .fim import FimTemplate
from .segment import Retokenized, Segment
from .token_identity import NOWHERE, IdentityPair, TokenIdentity, identify
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
TailToken = tuple[int, int]  # character within the tail's text, id


class TokenizedText:
    """Tokens of `text`, cut at `cursor`, in a model's layout."""

    def __init__(
        self, tokenizer: Tokenizer, layout: FimTemplate, text: str, cursor: int, head: str = ""
    ) -> None:
        self.layout = layout
        self._head = (*layout.front, *tokenizer.encode(head).ids)
        self._prefix = Segment(tokenizer, text[:cursor])
        self._suffix = Segment(tokenizer, text[cursor:] if layout.has_suffix else "")
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

    def position_of(self, offset: int) -> int:
        """The position of the first token that starts at or behind an offset."""
        if offset < self.cursor:
            return self.prefix_span[0] + self._prefix.index_of(offset)
        if not self.layout.has_suffix:
            return self.prefix_span[1]
        return self.suffix_span[0] + self._suffix.index_of(offset - self.cursor)

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
        begins, n_prefix = (self._begin_of_prefix(), self._begin_of_suffix()), len(self._prefix)
        if not self.layout.has_suffix:
            self._unseen = text[cursor:]
            if cursor < before:
                return self._edit_prefix(cursor, before, "", ())
            return self._edit_prefix(before, before, text[before:cursor], ())
        if before < cursor:
            return self._passed_on(pass_on(self._prefix, self._suffix, cursor), begins, n_prefix)
        return self._passed_back(pass_back(self._prefix, self._suffix, cursor), begins)

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

    def _markers(self) -> IdentityPair:
        """The tokens between the halves, which in a new place are new ones."""
        between = self.layout.between
        return [(-2, 0, token) for token in between], [(-1, 0, token) for token in between]

    def _passed_back(self, passed: Transfer, begins: tuple[int, int]) -> list[Change]:
        """The changes of a cursor that went back; `begins` are the prefix's and the suffix's before that."""
        prefix, suffix = begins
        begin, end = passed.run
        if not self.layout.is_suffix_first:
            old, new = self._markers()
            behind = _splices(
                (passed.gone_behind + old + passed.replaced, passed.behind), prefix + end
            )
            left = passed.left + new + passed.before
            return behind + _splices((passed.gone_before, left), prefix + passed.given_at)
        n_carried = passed.n_carried
        changes = _moves(prefix + begin, prefix + end, suffix)
        gone = passed.gone_before + passed.gone_behind
        changes += _splices((gone, passed.left), prefix + n_carried + passed.given_at)
        changes += _splices((passed.replaced, passed.behind), suffix + n_carried)
        return changes + _splices(([], passed.before), suffix)

    def _passed_on(self, passed: Transfer, begins: tuple[int, int], n_prefix: int) -> list[Change]:
        """The changes of a cursor that went on, behind a prefix of n_prefix tokens."""
        prefix, suffix = begins
        begin, end = passed.run
        if not self.layout.is_suffix_first:
            old, new = self._markers()
            left = passed.behind + new + passed.left
            behind = _splices((passed.gone_behind, left), suffix + end)
            gone = passed.replaced + old + passed.gone_before
            return behind + _splices((gone, passed.before), prefix + passed.taken_at)
        begin_of_prefix = prefix - passed.n_carried
        changes = _moves(suffix + begin, suffix + end, begin_of_prefix + n_prefix)
        changes += _splices(([], passed.behind), prefix + n_prefix)
        changes += _splices((passed.replaced, passed.before), begin_of_prefix + passed.taken_at)
        gone = passed.gone_before + passed.gone_behind
        return changes + _splices((gone, passed.left), suffix + passed.given_at)

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


def _moves(start: int, end: int, to: int) -> list[Change]:
    return [Move(start, end, to)] if start < end else []


def _common_run(
    tail: tuple[TailToken, ...], new: list[TokenIdentity], start: int, n_inserted: int
) -> tuple[int, list[TokenIdentity]]:
    """The first run of tail tokens that the new tokens have in the same places: its start in the tail, its keys."""
    place_of = {(key[0], key[2]): k for k, key in enumerate(new) if key[0] < start + n_inserted}
    for first, (place, token) in enumerate(tail):
        k = place_of.get((start + place, token))
        if k is None:
            continue
        run: list[TokenIdentity] = []
        for (place, token), key in zip(tail[first:], new[k:], strict=False):  # noqa: PLW2901
            if (start + place, token) != (key[0], key[2]) or start + n_inserted <= key[0]:
                break
            run.append(key)
        return first, run
    return 0, []


def _keyed_around(change: Retokenized, start: int, end: int, n_replaced: int) -> IdentityPair:
    """Old keys in the characters of the new text; a token that starts in what was replaced is unlike any."""
    shift = n_replaced - (end - start)
    places = [s if s < start else (s + shift if end <= s else NOWHERE) for s in change.old_starts]
    return identify(places, change.old_ids), identify(change.new_starts, change.new_ids)


def _splices(keys: IdentityPair, begin: int) -> list[Change]:
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
