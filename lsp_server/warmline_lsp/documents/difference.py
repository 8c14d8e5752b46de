"""Edits that turn one text into another, in about linear time.

Lines that occur once in each text are anchors (patience diff). Between anchors, equal neighbours are matched, then
lines that differ only in white space. The rest between two anchors becomes one replacement.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MAX_EDITS = 200  # each edit costs the engine a copy of the text
_MAX_LINES = 20_000  # of the changed part; a longer part is replaced as a whole
_BLOCK = 4096  # characters compared at a time


@dataclass(frozen=True)
class Edit:
    """Replace the code points [start, end) by `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class _Hunk:
    """[start, end) of the old text becomes [new_start, new_end) of the new one."""

    start: int
    end: int
    new_start: int
    new_end: int


def difference(old: str, new: str) -> list[Edit]:
    """At most MAX_EDITS edits that turn `old` into `new`, from the end to the start, so that no edit moves another.

    Cost: about linear in the length of both texts.
    """
    if old == new:
        return []
    hunks = _joined(_hunks(old, new), MAX_EDITS)
    return [Edit(h.start, h.end, new[h.new_start : h.new_end]) for h in reversed(hunks)]


def common_prefix(a: str, b: str) -> int:
    """The number of equal characters at the start of two texts."""
    n_shared = min(len(a), len(b))
    for k in range(0, n_shared, _BLOCK):
        end = min(k + _BLOCK, n_shared)
        if a[k:end] != b[k:end]:
            return bisect_left(range(k + 1, end + 1), True, key=lambda n: a[k:n] != b[k:n]) + k
    return n_shared


def common_suffix(a: str, b: str) -> int:
    """The number of equal characters at the end of two texts."""
    n_shared = min(len(a), len(b))
    for k in range(0, n_shared, _BLOCK):
        end = min(k + _BLOCK, n_shared)
        x, y = a[len(a) - end : len(a) - k], b[len(b) - end : len(b) - k]
        if x != y:
            sizes = range(1, end - k + 1)
            return bisect_left(sizes, True, key=lambda n: x[len(x) - n :] != y[len(y) - n :]) + k
    return n_shared


def _hunks(old: str, new: str) -> list[_Hunk]:
    """The differing parts in order: found by lines, then narrowed to characters."""
    head = common_prefix(old, new)
    tail = common_suffix(old[head:], new[head:])
    # whole lines, so that they can be compared
    head = old.rfind("\n", 0, head) + 1
    a, b = (text[head : len(text) - tail].splitlines(keepends=True) for text in (old, new))
    # a last line without a break differs from the same line with one
    pairs = _matches(a, b) if max(len(a), len(b)) <= _MAX_LINES else []
    found: list[_Hunk] = []
    i, j, at, new_at = 0, 0, head, head
    for x, y in (*pairs, (len(a), len(b))):
        end, new_end = at + sum(map(len, a[i:x])), new_at + sum(map(len, b[j:y]))
        if (i, j) != (x, y):
            found += _narrowed(old, new, _Hunk(at, end, new_at, new_end))
        if x < len(a):
            at, new_at = end + len(a[x]), new_end + len(b[y])
            found += _narrowed(old, new, _Hunk(end, at, new_end, new_at))
        i, j = x + 1, y + 1
    return found


def _matches(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of line numbers, rising in both texts, whose lines are equal or similar."""
    pairs = _anchored(a, b, 0, len(a), 0, len(b), lambda line: line)
    found: list[tuple[int, int]] = []
    for gap in _gaps(pairs, len(a), len(b)):
        i, i_end, j, j_end = gap
        if i < i_end and j < j_end:
            alike = _anchored(a, b, *gap, _without_space)
            for x, x_end, y, y_end in _gaps(alike, i_end, j_end, i, j):
                if x_end - x == y_end - y:
                    found += zip(range(x, x_end), range(y, y_end), strict=True)
            found += alike
    return sorted((*pairs, *found))


def _without_space(line: str) -> str:
    return "".join(line.split())


def _anchored(
    a: Sequence[str], b: Sequence[str], i: int, i_end: int, j: int, j_end: int,
    key: Callable[[str], str],
) -> list[tuple[int, int]]:  # fmt: skip
    """Pairs of lines with equal keys: unique lines, and equal lines next to them and at both ends."""
    keys_a, keys_b = [key(a[k]) for k in range(i, i_end)], [key(b[k]) for k in range(j, j_end)]
    in_a, in_b = _once(keys_a), _once(keys_b)
    unique = [(x, in_b[line]) for line, x in in_a.items() if line in in_b]
    pairs: list[tuple[int, int]] = []
    x = y = 0
    for x_next, y_next in (*_rising(unique), (len(keys_a), len(keys_b))):
        while x < x_next and y < y_next and keys_a[x] == keys_b[y]:
            pairs.append((x, y))
            x, y = x + 1, y + 1
        before: list[tuple[int, int]] = []
        u, v = x_next, y_next
        while x < u and y < v and keys_a[u - 1] == keys_b[v - 1]:
            u, v = u - 1, v - 1
            before.append((u, v))
        pairs += reversed(before)
        x, y = x_next, y_next
    return [(i + x, j + y) for x, y in pairs]


def _once(keys: Sequence[str]) -> dict[str, int]:
    """The index of each key that occurs once."""
    found: dict[str, int] = {}
    repeated: set[str] = set()
    for k, key in enumerate(keys):
        if key in found:
            repeated.add(key)
        found[key] = k
    return {key: k for key, k in found.items() if key not in repeated}


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest subsequence in which the second numbers rise; the first numbers rise already."""
    tops: list[int] = []  # for each length, the lowest second number that ends such a subsequence
    ends: list[int] = []  # the index of that pair
    before: list[int] = []
    for k, (_, y) in enumerate(pairs):
        length = bisect_left(tops, y)
        before.append(ends[length - 1] if length else -1)
        tops[length : length + 1] = [y]
        ends[length : length + 1] = [k]
    found: list[tuple[int, int]] = []
    k = ends[-1] if ends else -1
    while k >= 0:
        found.append(pairs[k])
        k = before[k]
    return found[::-1]


def _gaps(
    pairs: Sequence[tuple[int, int]], i_end: int, j_end: int, i: int = 0, j: int = 0
) -> list[tuple[int, int, int, int]]:
    """The gaps between pairs: [i, i_end) of the first text and [j, j_end) of the second."""
    found: list[tuple[int, int, int, int]] = []
    for x, y in (*pairs, (i_end, j_end)):
        if i < x or j < y:
            found.append((i, x, j, y))
        i, j = x + 1, y + 1
    return found


def _narrowed(old: str, new: str, hunk: _Hunk) -> list[_Hunk]:
    a, b = old[hunk.start : hunk.end], new[hunk.new_start : hunk.new_end]
    if a == b:
        return []
    head = common_prefix(a, b)
    tail = common_suffix(a[head:], b[head:])
    return [_Hunk(hunk.start + head, hunk.end - tail, hunk.new_start + head, hunk.new_end - tail)]


def _joined(hunks: list[_Hunk], max_hunks: int) -> list[_Hunk]:
    """At most `max_hunks` hunks: the closest ones are joined."""
    if len(hunks) <= max_hunks:
        return hunks
    gaps = [after.start - before.end for before, after in itertools.pairwise(hunks)]
    widest = sorted(range(len(gaps)), key=lambda k: gaps[k])[len(gaps) - max_hunks + 1 :]
    found: list[_Hunk] = []
    first = 0
    for last in (*sorted(widest), len(hunks) - 1):
        a, b = hunks[first], hunks[last]
        found.append(_Hunk(a.start, b.end, a.new_start, b.new_end))
        first = last + 1
    return found
