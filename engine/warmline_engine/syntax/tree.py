"""A document's syntax tree, kept up with its edits, and whether a completion would break it.

Only a text that is whole without the line at the cursor tells: elsewhere nobody knows what the completion broke.
"""

from __future__ import annotations

import time
from functools import cached_property

from tree_sitter import Parser, Point, Tree

from .grammars import new_parser

MOST_BYTES = 1 << 19  # of a text: parsing code of that length takes 50 ms the first time
MOST_S = 0.08  # for parsing: what is no code may take seconds
N_LATE = 3  # times that it took longer, after which it is not tried again
READ_BYTES = 1 << 16  # at a time
CLOSERS = {"(": ")", "[": "]", "{": "}"}


class Syntax:
    """The tree of one document. It is made when it is first needed, and again in part after edits."""

    def __init__(self, parser: Parser, text: str) -> None:
        self._parser = parser
        self._text = text
        self._tree: Tree | None = None
        self._is_current = False
        self._n_late = 0

    @classmethod
    def of(cls, language: str, text: str) -> Syntax | None:
        """None for a language without grammar."""
        parser = new_parser(language)
        return parser and cls(parser, text)

    def edit(self, start: int, end: int, replacement: str, text: str) -> None:
        """Follows an edit of the code points [start, end), which has made the text what it is now."""
        if self._tree is not None:
            note_edit(self._tree, self._text, start, end, replacement)
        self._text, self._is_current = text, False

    def is_whole(self, start: int, end: int, replacement: str) -> bool:
        """Whether the text has no error with this in the place of [start, end), or that cannot be told in time."""
        self.follow()
        if self._tree is None or not self._is_current:
            return True
        tree = self._tree.copy()
        note_edit(tree, self._text, start, end, replacement)
        text = self._text[:start] + replacement + self._text[end:]
        parsed = parse(self._parser, text, tree)
        return parsed is None or not parsed.root_node.has_error

    def rest_of_line(self, cursor: int) -> str:
        end = self._text.find("\n", cursor)
        return self._text[cursor:] if end < 0 else self._text[cursor:end]

    def is_whole_without_line(self, cursor: int) -> bool:
        """Whether the text would have no error without what the line at the cursor says."""
        start = self._text.rfind("\n", 0, cursor) + 1
        return self.is_whole(start, cursor + len(self.rest_of_line(cursor)), "")

    def follow(self) -> bool:
        """Parses what changed, ahead of who asks; whether there was something to do."""
        if self._is_current or self._n_late == N_LATE or len(self._text) > MOST_BYTES:
            return False
        self._tree = parse(self._parser, self._text, self._tree)
        self._is_current = self._tree is not None
        self._n_late += not self._is_current
        return True


class SyntaxAt:
    """A place in a document where something may be put, behind what is assumed to stand there."""

    def __init__(self, syntax: Syntax, cursor: int, assumed: str = "") -> None:
        self._syntax, self._cursor, self._assumed = syntax, cursor, assumed

    @cached_property
    def tells(self) -> bool:
        """Whether an error can be the fault of what is put here."""
        return self._syntax.is_whole_without_line(self._cursor)

    def fits(self, offered: str) -> bool:
        """Whether the text is whole with it.

        What the rest of the line says already is not put there twice; a bracket that ends a line may be closed below.
        """
        if self._is_whole(offered):
            return True
        if offered.rstrip().endswith(tuple(CLOSERS)):
            return self._is_whole(_closed(offered))
        n_again = _overlap(offered, self._syntax.rest_of_line(self._cursor))
        return n_again > 0 and self._is_whole(offered[:-n_again])

    def _is_whole(self, offered: str) -> bool:
        return self._syntax.is_whole(self._cursor, self._cursor, self._assumed + offered)

    def fitting(self, offered: str) -> str:
        """All of it, also where nothing can be told, or as many lines as leave the text whole; empty for none.

        Cost: a parse in part where it fits, as most do: half a millisecond in 100,000 characters.
        """
        if self.fits(offered) or not self.tells:
            return offered
        lines = offered.split("\n")
        for n_lines in range(len(lines) - 1, 0, -1):
            beginning = "\n".join(lines[:n_lines]).rstrip()
            if not beginning:
                break
            if self._is_whole(beginning):
                return beginning
        return ""


def _closed(text: str) -> str:
    """With the brackets closed that it opens, wherever they stand."""
    open_ones: list[str] = []
    for character in text:
        if character in CLOSERS:
            open_ones.append(CLOSERS[character])
        elif open_ones and character == open_ones[-1]:
            open_ones.pop()
    return text.rstrip() + "".join(reversed(open_ones))


def _overlap(text: str, rest: str) -> int:
    """How many characters a text ends with that the rest begins with."""
    longest = min(len(text), len(rest))
    return next((n for n in range(longest, 0, -1) if text.endswith(rest[:n])), 0)


def parse(parser: Parser, text: str, tree: Tree | None = None) -> Tree | None:
    """The tree of a text, made out of an older one that was told of the edits since; None where it takes too long."""
    source, end = text.encode(), time.perf_counter() + MOST_S

    def read(offset: int, _: Point) -> bytes:
        return source[offset : offset + READ_BYTES]

    def is_late(_: int, __: bool) -> bool:
        return time.perf_counter() > end

    try:
        if tree is None:
            return parser.parse(read, encoding="utf8", progress_callback=is_late)
        return parser.parse(read, tree, encoding="utf8", progress_callback=is_late)
    except ValueError:  # it was told to stop; the next text is another one
        parser.reset()
        return None


def note_edit(tree: Tree, text: str, start: int, end: int, replacement: str) -> None:
    """Tells a tree of an edit of its text."""
    before, removed, added = (
        part.encode() for part in (text[:start], text[start:end], replacement)
    )
    a, b, c = len(before), len(before) + len(removed), len(before) + len(added)
    point = _moved(Point(0, 0), before)
    tree.edit(a, b, c, point, _moved(point, removed), _moved(point, added))


def _moved(point: Point, text: bytes) -> Point:
    """Where a text ends that begins at a point."""
    n_breaks = text.count(b"\n")
    if not n_breaks:
        return Point(point.row, point.column + len(text))
    return Point(point.row + n_breaks, len(text) - text.rfind(b"\n") - 1)
