"""The tree of a text for those who have no document to follow: made in part, out of that of a text like it.

A file is asked for by several, and then again with a few characters changed.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from tree_sitter import Node, Point, Tree

from .grammars import new_parser

N_KEPT = 4  # trees, of each thread
LEAST_ALIKE = (
    0.5  # share of a text at both of its ends that another has too, for its tree to be of use
)


@dataclass(frozen=True)
class _Kept:
    language: str
    source: bytes
    tree: Tree


class _Recent(threading.local):
    """Trees, the one used last at the end; a tree belongs to one thread."""

    def __init__(self) -> None:
        self.kept: deque[_Kept] = deque(maxlen=N_KEPT)


_recent = _Recent()


def parsed(language: str, source: bytes) -> Node | None:
    """The root of a text's tree, None in a language without grammar.

    Where there are errors in the text, what stands around them may be read in another way than a parse anew would.
    """
    kept = _recent.kept
    for one in kept:
        if one.language == language and one.source == source:
            kept.remove(one)
            kept.append(one)
            return one.tree.root_node
    parser = new_parser(language)
    if parser is None:
        return None
    old = _told_of_change([one for one in kept if one.language == language], source)
    tree = parser.parse(source) if old is None else parser.parse(source, old)
    kept.append(_Kept(language, source, tree))
    return tree.root_node


def _told_of_change(kept: list[_Kept], source: bytes) -> Tree | None:
    """The tree of the text that is most like this one, told of what is another; None where none is like it."""
    changes = [(_change(one.source, source), one) for one in kept]
    if not changes:
        return None
    (start, old_end, new_end), one = min(changes, key=lambda found: found[0][2] - found[0][0])
    if new_end - start > (1 - LEAST_ALIKE) * len(source):
        return None
    tree = one.tree.copy()  # others hold nodes of the tree itself
    tree.edit(
        start,
        old_end,
        new_end,
        _point(source, start),
        _point(one.source, old_end),
        _point(source, new_end),
    )
    return tree


def _change(old: bytes, new: bytes) -> tuple[int, int, int]:
    """Where two texts differ, as (start, end in the old one, end in the new one)."""
    n_shorter = min(len(old), len(new))
    start = _n_alike(old[:n_shorter], new[:n_shorter])
    n_left = n_shorter - start
    n_behind = _n_alike(old[len(old) - n_left :][::-1], new[len(new) - n_left :][::-1])
    return start, len(old) - n_behind, len(new) - n_behind


def _n_alike(one: bytes, other: bytes) -> int:
    """How many bytes two texts of one length begin alike with; halving, since Python compares slices fast."""
    low, high = 0, len(one)
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _point(source: bytes, offset: int) -> Point:
    """An offset as row and column, in bytes."""
    return Point(source.count(b"\n", 0, offset), offset - source.rfind(b"\n", 0, offset) - 1)
