"""Whether the user types with several cursors at once; then completions are made only on request."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

from warmline_lsp.documents.difference import Edit

MAX_CURSORS = 64  # more are not recognized if each sends a notification


class Cursors:
    """Follows the edits of a document.

    Most editors send what several cursors do as one notification with the same change at several places. Some send
    one notification for each cursor: then each round of edits repeats one change at all cursors, in the same order.
    """

    def __init__(self) -> None:
        self.are_several = False
        self._n_cursors = 1  # of an editor that sends single notifications
        # in offsets of the newest text: two rounds
        self._last: deque[Edit] = deque(maxlen=2 * MAX_CURSORS)

    def note(self, edits: Sequence[Edit]) -> None:
        """Notes the edits of one notification, each relative to the text that the one before left."""
        if len(edits) > 1:
            self.are_several = _are_the_same(edits)
            self._n_cursors = 1
            self._last.clear()
        elif edits:
            self._put(edits[0])
            if self._n_cursors == 1 or not self._is_next_round(self._n_cursors):
                self._n_cursors = self._count()
            self.are_several = self._n_cursors > 1

    def _put(self, edit: Edit) -> None:
        if self._last and _goes_on(self._last[-1], edit):
            # no round goes on at the same cursor, so typing with one cursor keeps no history
            self._last.clear()
        shift = len(edit.text) - (edit.end - edit.start)
        moved = [
            Edit(e.start + shift, e.end + shift, e.text) if edit.start < e.start else e
            for e in self._last
        ]
        self._last = deque([*moved, edit], maxlen=2 * MAX_CURSORS)

    def _is_next_round(self, n: int) -> bool:
        """Whether the newest edit continues at one of n cursors, not where the edit before it was."""
        last = self._last
        return (
            n < len(last) and _goes_on(last[-1 - n], last[-1]) and not _goes_on(last[-2], last[-1])
        )

    def _count(self) -> int:
        """The least number of cursors whose last two rounds explain the newest edits; 1 if there is none."""
        edits = list(self._last)
        if len(edits) < 4:
            return 1
        for n in range(2, len(edits) // 2 + 1):
            if self._is_next_round(n) and _are_rounds(edits[-2 * n : -n], edits[-n:]):
                return n
        return 1


def _are_rounds(first: Sequence[Edit], second: Sequence[Edit]) -> bool:
    """Whether two runs of edits do one thing each at the same cursors."""
    return (
        _are_the_same(first)
        and _are_the_same(second)
        and all(_goes_on(a, b) for a, b in zip(first, second, strict=True))
    )


def _are_the_same(edits: Sequence[Edit]) -> bool:
    """Whether all edits make one change, each at another cursor than the one before."""
    if len({_shape(edit) for edit in edits}) > 1:
        return False
    return not any(_goes_on(a, b) for a, b in itertools.pairwise(edits))


def _shape(edit: Edit) -> tuple[int, str]:
    return edit.end - edit.start, edit.text


def _goes_on(a: Edit, b: Edit) -> bool:
    """Whether edit b is at the end of edit a."""
    return a.start + len(a.text) in (b.start, b.end)
