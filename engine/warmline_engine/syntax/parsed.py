"""Trees of texts that are no open document, made incrementally from the tree of a similar text.

Several callers need the tree of the same file, and later that of a version with a few characters changed.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from tree_sitter import Node, Parser, Point, Tree

from .grammars import new_parser

# calls of the progress callback, each about 100 steps of the parser. Code of the largest indexed file takes half of
# them; text that is no code may take a thousand times as long as code
MAX_PARSE_STEPS = 8_000
READ_BYTES = 1 << 16  # at a time
N_KEPT = 4  # trees, of each thread
# share of a text, at its two ends, that another one has to have too for its tree to be reused
MIN_ALIKE = 0.5


@dataclass(frozen=True)
class _Kept:
    language: str
    source: bytes
    tree: Tree | None  # None where the parser gave up
    n_failed: int = 0  # parses given up for texts like this one, one after another
    n_skipped: int = 0  # parses not tried since


class _Recent(threading.local):
    """Trees of one thread, the one used last at the end."""

    def __init__(self) -> None:
        self.kept: deque[_Kept] = deque(maxlen=N_KEPT)


_recent = _Recent()


def parsed(language: str, source: bytes) -> Node | None:
    """The root of a text's tree; None without a grammar, or if parsing takes too many steps.

    The `text` of its nodes is slow: slice the source instead. Near syntax errors it may differ from the tree of a full
    parse.
    """
    kept = _recent.kept
    for one in kept:
        if one.language == language and one.source == source:
            kept.remove(one)
            kept.append(one)
            return one.tree.root_node if one.tree else None
    parser = new_parser(language)
    if parser is None:
        return None
    like, change = _most_alike([one for one in kept if one.language == language], source)
    if like is not None and like.tree is None and like.n_skipped < 2**like.n_failed:
        # another try at each keystroke would cost the whole limit each time
        kept.remove(like)
        kept.append(_Kept(language, source, None, like.n_failed, like.n_skipped + 1))
        return None
    old = _edited(like.tree, like.source, source, change) if like and like.tree else None
    tree = _parsed_in_steps(parser, source, old)
    n_failed = 0 if tree else 1 + (like.n_failed if like else 0)
    kept.append(_Kept(language, source, tree, n_failed))
    return tree.root_node if tree else None


def _parsed_in_steps(parser: Parser, source: bytes, old: Tree | None) -> Tree | None:
    """The tree of a text; None if parsing takes too many steps. Other threads run meanwhile."""
    n_steps = 0

    def read(offset: int, _: Point) -> bytes:
        return source[offset : offset + READ_BYTES]

    def is_over(_: int, __: bool) -> bool:
        nonlocal n_steps
        n_steps += 1
        return n_steps > MAX_PARSE_STEPS

    try:
        if old is None:
            return parser.parse(read, encoding="utf8", progress_callback=is_over)
        return parser.parse(read, old, encoding="utf8", progress_callback=is_over)
    except ValueError:  # the callback stopped it
        return None


Change = tuple[int, int, int]  # start, end in the old text, end in the new one


def _most_alike(kept: list[_Kept], source: bytes) -> tuple[_Kept | None, Change]:
    """The text that differs least from this one, and the change; None if no text is similar enough."""
    changes = [(_change(one.source, source), one) for one in kept]
    if not changes:
        return None, (0, 0, 0)
    change, one = min(changes, key=lambda found: found[0][2] - found[0][0])
    start, _, new_end = change
    if new_end - start > (1 - MIN_ALIKE) * len(source):
        return None, change
    return one, change


def _edited(old: Tree, old_source: bytes, source: bytes, change: Change) -> Tree:
    """A copy of a tree with an edit noted."""
    start, old_end, new_end = change
    tree = old.copy()  # callers may hold nodes of the old tree
    tree.edit(
        start,
        old_end,
        new_end,
        _point(source, start),
        _point(old_source, old_end),
        _point(source, new_end),
    )
    return tree


def _change(old: bytes, new: bytes) -> Change:
    """The span in which two texts differ: (start, end in the old one, end in the new one)."""
    n_shorter = min(len(old), len(new))
    start = _n_alike(old[:n_shorter], new[:n_shorter])
    n_left = n_shorter - start
    n_behind = _n_alike(old[len(old) - n_left :][::-1], new[len(new) - n_left :][::-1])
    return start, len(old) - n_behind, len(new) - n_behind


def _n_alike(one: bytes, other: bytes) -> int:
    """The length of the common prefix of two texts of one length. Bisects, since Python compares slices fast."""
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
