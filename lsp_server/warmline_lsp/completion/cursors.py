"""Detects typing with several cursors at once, for which no completion is made unless requested."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

from warmline_lsp.documents.difference import Edit


class Cursors:
    """Follows the edits of a document.

    Most editors send the edits of several cursors as one notification with the same change at several places. Some send
    one for each cursor: then edits alternate between places, and each repeats the one before.
    """

    def __init__(self) -> None:
        self.are_several = False
        self._last: deque[Edit] = deque(maxlen=4)  # offsets in the newest text

    def note(self, edits: Sequence[Edit]) -> None:
        """Notes the edits of one notification, each relative to the text that the one before left."""
        if len(edits) > 1:
            self.are_several = _are_the_same(edits)
            self._last.clear()
        elif edits:
            self._put(edits[0])
            self.are_several = self._goes_back() if self.are_several else self._alternates()

    def _put(self, edit: Edit) -> None:
        shift = len(edit.text) - (edit.end - edit.start)
        moved = [
            Edit(e.start + shift, e.end + shift, e.text) if edit.start < e.start else e
            for e in self._last
        ]
        self._last = deque([*moved, edit], maxlen=4)

    def _goes_back(self) -> bool:
        """Whether the newest edit is at the place of the one before the last."""
        if len(self._last) < 2:
            return False
        is_same_place = _goes_on(self._last[-2], self._last[-1])
        return (
            not is_same_place and len(self._last) > 2 and _goes_on(self._last[-3], self._last[-1])
        )

    def _alternates(self) -> bool:
        if len(self._last) < 4:
            return False
        a, b, c, d = self._last
        is_repeated = (_shape(a), _shape(c)) == (_shape(b), _shape(d))
        return is_repeated and _goes_on(a, c) and _goes_on(b, d) and not _goes_on(c, d)


def _are_the_same(edits: Sequence[Edit]) -> bool:
    """Whether all edits make the same change, each at another place."""
    if len({_shape(edit) for edit in edits}) > 1:
        return False
    return not any(_goes_on(a, b) for a, b in itertools.pairwise(edits))


def _shape(edit: Edit) -> tuple[int, str]:
    return edit.end - edit.start, edit.text


def _goes_on(a: Edit, b: Edit) -> bool:
    """Whether an edit is at the place where another one ended."""
    return a.start + len(a.text) in (b.start, b.end)
