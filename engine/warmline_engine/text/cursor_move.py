"""Moves tokens between prefix and suffix as the cursor moves, retokenizing only at the boundaries.

A piece's tokens depend on the text from its start on, so those of the text between the two cursors stay
what they are, but for the pieces at its ends. Only there text is tokenized, however far the cursor goes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .segment import Retokenized, Segment
from .token_identity import TokenIdentity, identify, shared_run


@dataclass(frozen=True)
class Transfer:
    """What became of two halves' tokens; keys are in characters of the whole text.

    The giver's tokens from `given_at` on were `gone_before`, the run and `gone_behind`, and are `left`.
    The taker's from `taken_at` on were `replaced`, and are `before`, the run and `behind`.
    """

    run: tuple[int, int]  # of the giver's tokens as they were
    given_at: int
    gone_before: list[TokenIdentity]
    gone_behind: list[TokenIdentity]
    left: list[TokenIdentity]
    taken_at: int
    replaced: list[TokenIdentity]
    before: list[TokenIdentity]
    behind: list[TokenIdentity]

    @property
    def n_carried(self) -> int:
        return self.run[1] - self.run[0]


@dataclass(frozen=True, eq=False)
class _Tokens:
    """The tokens of a half as they are now; starts are in characters of the whole text."""

    ids: list[int]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, half: Segment, begin: int) -> _Tokens:
        return cls(half.ids, half.starts + begin)

    def keys(self, begin: int, end: int) -> list[TokenIdentity]:
        return identify(self.starts[begin:end].tolist(), self.ids[begin:end])

    def agrees(self, index: int, other: _Tokens, other_idx: int) -> bool:
        is_same = self.ids[index] == other.ids[other_idx]
        return is_same and bool(self.starts[index] == other.starts[other_idx])


@dataclass(frozen=True)
class _Insertion:
    """From token `at` on the taker has other tokens than before; `n_gone` of its own are no longer there."""

    at: int
    n_gone: int
    n_before: int  # new ones that stand in front of the run
    run: tuple[int, int] | None  # of the giver's tokens; None where it is to be searched


def pass_back(prefix: Segment, suffix: Segment, cursor: int) -> Transfer:
    """Takes the prefix's text from `cursor` on to the front of the suffix."""
    old_cursor = len(prefix.text)
    giver, taker = _Tokens.of(prefix, 0), _Tokens.of(suffix, old_cursor)
    put = _put_in_front(prefix, suffix, cursor)
    given = prefix.edit(cursor, old_cursor, "")
    return _passed(giver, given, 0, taker, _Tokens.of(suffix, cursor), put)


def pass_on(prefix: Segment, suffix: Segment, cursor: int) -> Transfer:
    """Takes the suffix's text up to `cursor` to the end of the prefix."""
    old_cursor = len(prefix.text)
    giver, taker = _Tokens.of(suffix, old_cursor), _Tokens.of(prefix, 0)
    put = _put_at_end(suffix, prefix, cursor - old_cursor)
    given = suffix.edit(0, cursor - old_cursor, "")
    return _passed(giver, given, cursor, taker, _Tokens.of(prefix, 0), put)


def _put_in_front(giver: Segment, taker: Segment, start: int) -> _Insertion:
    text = giver.text[start:]
    begin, end = giver.stable_span(start, len(giver.text))
    if begin == end:
        return _Insertion(0, taker.edit(0, 0, text).end, 0, None)
    first, last = giver.start_of(begin) - start, giver.start_of(end) - start
    taker.put_in_front(giver, begin, end)
    rest = taker.edit(last - first, last - first, text[last:])
    head = taker.edit(0, 0, text[:first])
    # the head is tokenized up to where it meets the run, which may be past its end
    n_too_many = max(0, head.end - rest.start - len(rest.new_ids))
    run = (begin + head.end, begin + rest.start)
    n_gone = rest.end - (end - begin) + n_too_many
    return _Insertion(0, n_gone, len(head.new_ids), run if run[0] < run[1] else None)


def _put_at_end(giver: Segment, taker: Segment, end_of_text: int) -> _Insertion:
    text = giver.text[:end_of_text]
    begin, end = giver.stable_span(0, end_of_text)
    here, n_old = len(taker.text), len(taker)
    if begin == end:
        at = taker.edit(here, here, text).start
        return _Insertion(at, n_old - at, 0, None)
    first, last = giver.start_of(begin), giver.start_of(end)
    taker.put_behind(giver, begin, end)
    head = taker.edit(here, here, text[:first])
    rest = taker.edit(len(taker.text), len(taker.text), text[last:])
    at, n_head = min(head.start, rest.start), head.start + len(head.new_ids)
    begin += head.end - n_old
    run = (begin, begin + rest.start - n_head)
    return _Insertion(at, n_old - at, n_head - at, run if run[0] < run[1] else None)


def _passed(
    giver: _Tokens, given: Retokenized, given_from: int, old: _Tokens, new: _Tokens, put: _Insertion
) -> Transfer:
    end = len(new.ids) - (len(old.ids) - put.at - put.n_gone)
    if put.run is None:
        keys = giver.keys(given.start, given.end), new.keys(put.at, end)
        in_giver, n_before, n_shared = shared_run(*keys)
        begin = given.start + in_giver
        first, last = put.at + n_before, put.at + n_before + n_shared
    else:
        begin, first = put.run[0], put.at + put.n_before
        last = first + put.run[1] - put.run[0]
    # a token that was made anew may be the same again
    while given.start < begin and put.at < first and giver.agrees(begin - 1, new, first - 1):
        begin, first = begin - 1, first - 1
    behind = begin + last - first
    while behind < given.end and last < end and giver.agrees(behind, new, last):
        behind, last = behind + 1, last + 1
    return Transfer(
        run=(begin, behind),
        given_at=given.start,
        gone_before=giver.keys(given.start, begin),
        gone_behind=giver.keys(behind, given.end),
        left=identify((start + given_from for start in given.new_starts), given.new_ids),
        taken_at=put.at,
        replaced=old.keys(put.at, put.at + put.n_gone),
        before=new.keys(put.at, first),
        behind=new.keys(last, end),
    )
