"""Moves text between prefix and suffix as the cursor moves, and finds the tokens that stay the same.

A cursor that goes back takes text from the prefix, its *giver*, to the front of the suffix, its *taker*. One that goes
forward takes text from the suffix to the end of the prefix. The drawing shows a cursor that goes back:

               prefix                         suffix
    before    |def| main|(|args|):|⏎    ret‖urn| 0|⏎|
                           ├── run ──┤     ^ old cursor
    after     |def| main|(‖args|):|⏎    return| 0|⏎|
                          ^ new cursor

The tokens of a piece depend on the text from the start of the piece on. So only the pieces at the two cursors change:
they are tokenized again, however far the cursor goes. The tokens between them are the *run*.
"""

from __future__ import annotations

from dataclasses import dataclass

from .segment import Segment
from .token_identity import Tokens, shared_run


@dataclass(frozen=True)
class Run:
    """The tokens that stay the same: where they were in the giver, and where they are in the taker.

    Both are empty and at 0 if no token stays the same.
    """

    in_giver: slice
    in_taker: slice
    goes_back: bool  # the cursor, so the prefix is the giver

    @property
    def n_tokens(self) -> int:
        return self.in_giver.stop - self.in_giver.start


def carry_text(prefix: Segment, suffix: Segment, cursor: int) -> Run:
    """Moves the text between the end of the prefix and `cursor`, a place in the whole text, to the other segment."""
    old_cursor = len(prefix.text)
    goes_back = cursor < old_cursor
    if goes_back:
        giver, taker, start, end, to = prefix, suffix, cursor, old_cursor, 0
    else:
        giver, taker, start, end, to = suffix, prefix, 0, cursor - old_cursor, old_cursor
    old = Tokens.of(giver.ids, giver.starts - start)
    in_old = slice(*giver.index_range(start, end))
    _insert(giver, start, end, taker, to)
    giver.edit(start, end, "")
    new = Tokens.of(taker.ids, taker.starts - to)
    in_new = slice(*taker.index_range(to, to + end - start))
    at_old, at_new, n_tokens = shared_run(old[in_old], new[in_new])
    if not n_tokens:
        return Run(slice(0, 0), slice(0, 0), goes_back)
    first, second = in_old.start + at_old, in_new.start + at_new
    return Run(slice(first, first + n_tokens), slice(second, second + n_tokens), goes_back)


def _insert(giver: Segment, start: int, end: int, taker: Segment, to: int) -> None:
    """Inserts the characters [start, end) of the giver at one end of the taker, with the tokens that stay the same."""
    first, last = giver.stable_span(start, end)
    if first == last:
        taker.edit(to, to, giver.text[start:end])
        return
    begin, stop = giver.start_of(first), giver.start_of(last)
    taker.insert_tokens(to, giver, first, last)
    # these two edits also tokenize the pieces on both sides of the inserted tokens again
    behind = to + stop - begin
    taker.edit(behind, behind, giver.text[stop:end])
    taker.edit(to, to, giver.text[start:begin])
