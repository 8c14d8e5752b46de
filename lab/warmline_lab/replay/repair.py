"""Which stale tokens to encode again first: orders, each a ranking of the stale positions of a window.

`changed` are the code points [start, end) of the window's text that edits put there.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable

import numpy as np

from warmline_engine.cache.slots import Ints
from warmline_engine.session.window import Window

Spans = list[tuple[int, int]]
Order = Callable[[Window, Spans], Ints]

_NAME = re.compile(r"[A-Za-z_]\w{2,}")
_KEYWORDS = frozenset({*keyword.kwlist, "self"})


def stale(window: Window) -> Ints:
    """The positions that are not fresh, without the last, which is encoded for its logits anyway."""
    return np.arange(window.sequence.n_fresh, window.n_own_tokens - 1)


def behind_edits(window: Window, changed: Spans) -> Ints:
    """Nearest behind an edit first."""
    found = stale(window)
    ends = np.array([window.tokenized.position_of(end) for _, end in changed] or [0])
    distance = found[:, None] - ends[None]
    distance[distance < 0] = 1 << 30
    return found[np.argsort(distance.min(1), kind="stable")]


def near_cursor(window: Window, changed: Spans) -> Ints:
    """Nearest to the cursor in the text first, before and behind alike."""
    found = stale(window)
    return found[np.argsort(_from_cursor(window, found), kind="stable")]


def before_cursor(window: Window, changed: Spans) -> Ints:
    """The prefix from its end backwards, then the rest."""
    found = stale(window)
    start, end = window.tokenized.prefix_span
    distance = np.where((start <= found) & (found < end), end - found, 1 << 30)
    return found[np.argsort(distance, kind="stable")]


def from_end(window: Window, changed: Spans) -> Ints:
    """The last of the sequence first: in a layout with the prefix first, the end of the suffix."""
    return stale(window)[::-1]


def both(window: Window, changed: Spans) -> Ints:
    """By turns nearest behind an edit and nearest before the cursor."""
    turns = np.stack((behind_edits(window, changed), before_cursor(window, changed)), 1).ravel()
    _, first = np.unique(turns, return_index=True)
    return turns[np.sort(first)]


def mentions(window: Window, changed: Spans) -> Ints:
    """Lines that mention a name of the edited text, nearest to the cursor first; then as `before_cursor`."""
    text, rest = window.tokenized.text, before_cursor(window, changed)
    names = {name for start, end in changed for name in _NAME.findall(text[start:end])} - _KEYWORDS
    if not names or len(rest) == 0:
        return rest
    is_named = np.zeros(window.n_own_tokens, bool)
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(names)))})\b")
    end = -1
    for match in pattern.finditer(text):
        if match.start() < end:
            continue
        start, end = text.rfind("\n", 0, match.start()) + 1, text.find("\n", match.end())
        end = len(text) if end < 0 else end
        is_named[_span(window, start, end)] = True
    distance = _from_cursor(window, rest)
    return rest[np.lexsort((np.where(is_named[rest], distance, 0), ~is_named[rest]))]


ORDERS: dict[str, Order] = {
    "behind edits": behind_edits,
    "near cursor": near_cursor,
    "before cursor": before_cursor,
    "both": both,
    "from end": from_end,
    "mentions": mentions,
}


def lines_near(window: Window, changed: Spans, n_lines: int) -> Ints:
    """The stale tokens of so many lines behind each edit and before the cursor."""
    text, chosen = window.tokenized.text, np.zeros(window.n_own_tokens, bool)
    for _, start in changed:
        end = start
        for _ in range(n_lines):
            end = text.find("\n", end) + 1 or len(text)
        chosen[_span(window, start, end)] = True
    start = cursor = window.tokenized.cursor
    for _ in range(n_lines):
        start = text.rfind("\n", 0, max(0, start - 1)) + 1
    chosen[_span(window, start, cursor)] = True
    found = stale(window)
    return found[chosen[found]]


def _span(window: Window, start: int, end: int) -> slice:
    """The positions of a stretch of text on one side of the cursor; what is across is cut off."""
    cursor = window.tokenized.cursor
    if start < cursor:
        last = window.tokenized.prefix_span[1]
        return slice(
            window.tokenized.position_of(start),
            last if cursor <= end else window.tokenized.position_of(end),
        )
    return slice(window.tokenized.position_of(start), window.tokenized.position_of(end))


def _from_cursor(window: Window, positions: Ints) -> Ints:
    """How many tokens of text lie between each position and the cursor."""
    (start, end), (first, last) = window.tokenized.prefix_span, window.tokenized.suffix_span
    distance = np.full(len(positions), 1 << 30)
    in_prefix = (start <= positions) & (positions < end)
    in_suffix = (first <= positions) & (positions < last)
    distance[in_prefix] = end - positions[in_prefix]
    distance[in_suffix] = positions[in_suffix] - first + 1
    return distance
