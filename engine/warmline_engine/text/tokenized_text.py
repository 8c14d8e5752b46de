"""A window of text with a cursor, as the tokens of a sequence that is updated by the smallest splices.

Invariant: after any edits and moves the tokens of each segment are a full tokenization of the text before the cursor
and of the text behind it.
"""

from __future__ import annotations

from .changes import Change, Move, differences, moves_of, splices
from .cursor_move import Run, carry_text
from .fim import FimTemplate
from .segment import Retokenized, Segment
from .token_identity import NOWHERE, IdentityPair, TokenIdentity, Tokens, identify
from .tokenizer import Tokenizer

TailToken = tuple[int, int]  # character within the tail's text, id
Halves = tuple[Tokens, Tokens]  # of prefix and suffix


class TokenizedText:
    """Tokens of `text`, cut at `cursor`, in the layout of a model."""

    def __init__(self, tokenizer: Tokenizer, layout: FimTemplate, text: str, cursor: int) -> None:
        self.layout = layout
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
        layout, segments = self.layout, (self._prefix.ids, self._suffix.ids)
        first, second = segments[::-1] if layout.is_suffix_first else segments
        return [*layout.front, *first, *layout.between, *second, *layout.behind]

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
        """The cursor's line up to the cursor."""
        prefix = self._prefix.text
        return prefix[prefix.rfind("\n") + 1 :]

    @property
    def last_piece(self) -> list[int]:
        """The tokens of the piece that the prefix ends with."""
        return self._prefix.ids[len(self._prefix) - self._prefix.n_in_last_piece() :]

    def edit(
        self, start: int, end: int, replacement: str, tail: tuple[TailToken, ...] = ()
    ) -> list[Change]:
        """Replaces characters; a cursor within or at the end of them moves behind the replacement.

        `tail` has the generated tokens behind the sequence's own. Text that is inserted at the cursor uses those that
        its tokenization has at the same characters: they are moved, not encoded.
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
        """Moves the cursor: the text between goes from one segment to the other, with its keys and values."""
        before, text = self.cursor, self.text
        if cursor == before:
            return []
        if not self.layout.has_suffix:
            self._unseen = text[cursor:]
            if cursor < before:
                return self._edit_prefix(cursor, before, "", ())
            return self._edit_prefix(before, before, text[before:cursor], ())
        old = self._tokens()
        run = carry_text(self._prefix, self._suffix, cursor)
        new = self._tokens()
        if self.layout.is_suffix_first:
            return self._changes_suffix_first(old, new, run)
        return self._changes_prefix_first(old, new, run)

    def _tokens(self) -> Halves:
        """The tokens of prefix and suffix, identified by characters of the whole text."""
        suffix_starts = self._suffix.starts + len(self._prefix.text)
        return (
            Tokens.of(self._prefix.ids, self._prefix.starts),
            Tokens.of(self._suffix.ids, suffix_starts),
        )

    def _changes_prefix_first(self, old: Halves, new: Halves, run: Run) -> list[Change]:
        """The run stays in place; the markers between the segments are encoded again on its other side.

        prefix │ markers │ suffix; the run changes from one segment to the other.
        """
        between = self.layout.between
        was = old[0] + Tokens.unlike_others(between, -2) + old[1]
        now = new[0] + Tokens.unlike_others(between, -1) + new[1]
        n_run, begin, to = run.n_tokens, run.in_giver.start, run.in_taker.start
        if n_run and run.goes_back:
            to += len(new[0]) + len(between)
        elif n_run:
            begin += len(old[0]) + len(between)
        front = len(self.layout.front)
        behind = differences(was[begin + n_run :], now[to + n_run :], front + begin + n_run)
        return behind + differences(was[:begin], now[:to], front)

    def _changes_suffix_first(self, old: Halves, new: Halves, run: Run) -> list[Change]:
        """The run moves to the front of the suffix, or to the end of the prefix.

        goes back:      run │ suffix │ markers │ prefix without the run
        goes forward:   suffix without the run │ markers │ prefix │ run
        """
        in_giver, in_taker = run.in_giver, run.in_taker
        n_run, n_between = run.n_tokens, len(self.layout.between)
        (old_prefix, old_suffix), (new_prefix, new_suffix) = old, new
        suffix = len(self.layout.front)
        prefix = suffix + len(old_suffix) + n_between  # positions as they are before the move
        if run.goes_back:
            moves = moves_of(prefix + in_giver.start, prefix + in_giver.stop, suffix)
            before, behind = new_suffix[: in_taker.start], new_suffix[in_taker.stop :]
            changes = differences(old_prefix.without(in_giver), new_prefix, prefix + n_run)
            changes += differences(old_suffix, behind, suffix + n_run)
            return moves + changes + differences(old_suffix[:0], before, suffix)
        prefix -= n_run
        end = prefix + len(old_prefix)
        moves = moves_of(suffix + in_giver.start, suffix + in_giver.stop, end)
        before, behind = new_prefix[: in_taker.start], new_prefix[in_taker.stop :]
        if not n_run:
            before, behind = new_prefix, new_prefix[:0]
        changes = differences(old_prefix[:0], behind, end + n_run)
        changes += differences(old_prefix, before, prefix)
        return moves + changes + differences(old_suffix.without(in_giver), new_suffix, suffix)

    def _begin_of_prefix(self) -> int:
        begin = len(self.layout.front)
        if self.layout.is_suffix_first:
            begin += len(self._suffix) + len(self.layout.between)
        return begin

    def _begin_of_suffix(self) -> int:
        begin = len(self.layout.front)
        if not self.layout.is_suffix_first:
            begin += len(self._prefix) + len(self.layout.between)
        return begin

    def _edit_suffix(self, start: int, end: int, replacement: str) -> list[Change]:
        begin = self._begin_of_suffix()
        change = self._suffix.edit(start, end, replacement)
        identities = _identities_around(change, start, end, len(replacement))
        return splices(identities, begin + change.start)

    def _edit_prefix(
        self, start: int, end: int, replacement: str, tail: tuple[TailToken, ...]
    ) -> list[Change]:
        begin, n_tokens = self._begin_of_prefix(), len(self.ids)
        change = self._prefix.edit(start, end, replacement)
        old, new = _identities_around(change, start, end, len(replacement))
        moves: list[Change] = []
        if tail and replacement and not any(start <= token[0] for token in old):
            first, run = _common_run(tail, new, start, len(replacement))
            if run:
                n_before = sum(1 for token in old if token[0] >= 0)
                to = begin + change.start + n_before
                moves.append(Move(n_tokens + first, n_tokens + first + len(run), to))
                old = old[:n_before] + run + old[n_before:]
        return moves + splices((old, new), begin + change.start)


def _common_run(
    tail: tuple[TailToken, ...], new: list[TokenIdentity], start: int, n_inserted: int
) -> tuple[int, list[TokenIdentity]]:
    """The first run of tail tokens that the new tokens have at the same characters: its start and tokens."""
    index_of = {
        (token[0], token[2]): k for k, token in enumerate(new) if token[0] < start + n_inserted
    }
    for first, (character, id) in enumerate(tail):
        k = index_of.get((start + character, id))
        if k is None:
            continue
        run: list[TokenIdentity] = []
        for (in_tail, tail_id), token in zip(tail[first:], new[k:], strict=False):
            is_same = (start + in_tail, tail_id) == (token[0], token[2])
            if not is_same or start + n_inserted <= token[0]:
                break
            run.append(token)
        return first, run
    return 0, []


def _identities_around(change: Retokenized, start: int, end: int, n_replaced: int) -> IdentityPair:
    """Old identities by characters of the new text; a token that starts in the replaced text is unlike any other."""
    shift = n_replaced - (end - start)
    characters = [
        s if s < start else (s + shift if end <= s else NOWHERE) for s in change.old_starts
    ]
    return identify(characters, change.old_ids), identify(change.new_starts, change.new_ids)
