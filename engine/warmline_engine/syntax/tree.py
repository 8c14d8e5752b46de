"""A document's syntax tree, kept up with its edits, and whether a completion would break it.

Only a text tells that is whole without the line at the cursor, or with another one there, as where a block below lacks
the line that opens it: elsewhere nobody knows what the completion broke.
"""

from __future__ import annotations

import io
import time
from functools import cached_property

from tree_sitter import Node, Parser, Point, Tree

from .grammars import is_indented, new_parser

MOST_BYTES = 1 << 19  # of a text: parsing code of that length takes 50 ms the first time
MOST_S = 0.08  # for parsing: what is no code may take seconds
N_LATE = 3  # times that it took longer, after which it is not tried again
READ_BYTES = 1 << 16  # at a time
# lines that a text may lack: one that opens what is closed or indented below, or any at all. None that closes, since
# what is open above may be meant to go on
LINES = ("x", "if x:", "def x():", "try:", "x(", "x[", "x([", "def x(", "{")
LINES_S = 0.05  # for trying them all
# of a language that is indented; what stands in them begins in one column
BLOCKS = ("block", "module")
CLOSERS = {"(": ")", "[": "]", "{": "}"}
OPENERS = (":", *CLOSERS)


class Syntax:
    """The tree of one document. It is made when it is first needed, and again in part after edits."""

    def __init__(self, parser: Parser, text: str, is_indented: bool = False) -> None:
        self._parser = parser
        self._is_indented = is_indented
        self._text = text
        self._tree: Tree | None = None
        self._is_current = False
        self._n_late = 0

    @classmethod
    def of(cls, language: str, text: str) -> Syntax | None:
        """None for a language without grammar."""
        parser = new_parser(language)
        return parser and cls(parser, text, is_indented(language))

    def edit(self, start: int, end: int, replacement: str, text: str) -> None:
        """Follows an edit of the code points [start, end), which has made the text what it is now."""
        if self._tree is not None:
            note_edit(self._tree, self._text, start, end, replacement)
        self._text, self._is_current = text, False

    def is_whole(self, start: int, end: int, replacement: str) -> bool:
        """Whether the text has no error with this in the place of [start, end), or that cannot be told in time.

        In a language that is indented what follows stands below it, too, which its grammar does not ask.
        """
        self.follow()
        if self._tree is None or not self._is_current:
            return True
        tree = self._tree.copy()
        note_edit(tree, self._text, start, end, replacement)
        text = self._text[:start] + replacement + self._text[end:]
        parsed = parse(self._parser, text, tree)
        if parsed is None:
            return True
        if parsed.root_node.has_error:
            return False
        behind = len(text[: start + len(replacement.rstrip())].encode())
        return not self._is_indented or is_even(parsed.root_node, behind)

    def rest_of_line(self, cursor: int) -> str:
        end = self._text.find("\n", cursor)
        return self._text[cursor:] if end < 0 else self._text[cursor:end]

    def line_below(self, cursor: int) -> str:
        """The first line below the cursor's that says something, "" for none."""
        below = self._text[cursor + len(self.rest_of_line(cursor)) :]
        return next((line for line in io.StringIO(below) if line.strip()), "")

    def is_whole_but_for_line(self, cursor: int) -> bool:
        """Whether the text would have no error without what the line at the cursor says, or if that were another."""
        start = self._text.rfind("\n", 0, cursor) + 1
        end = cursor + len(self.rest_of_line(cursor))
        if self.is_whole(start, end, ""):
            return True
        line = self._text[start:end]
        start, late = start + len(line) - len(line.lstrip()), time.perf_counter() + LINES_S
        return any(
            time.perf_counter() < late and self.is_whole(start, end, other) for other in LINES
        )

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
        return self._syntax.is_whole_but_for_line(self._cursor)

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

        Of several lines the last does not open what nobody has written.
        Cost: a parse in part where it fits, as most do: half a millisecond in 100,000 characters.
        """
        while "\n" in offered.rstrip() and self._opens_nothing(offered):
            offered = offered.rstrip().rpartition("\n")[0]
        if self.fits(offered) or not self.tells:
            return offered
        lines = offered.split("\n")
        for n_lines in range(len(lines) - 1, 0, -1):
            beginning = "\n".join(lines[:n_lines]).rstrip()
            if not beginning:
                break
            if self._is_whole(beginning) and not (n_lines > 1 and self._opens_nothing(beginning)):
                return beginning
        return ""

    def _opens_nothing(self, offered: str) -> bool:
        """Whether its last line opens a block and what stands below is not in it."""
        last = offered.rstrip().rpartition("\n")[2]
        if not last.endswith(OPENERS):
            return False
        following = self._syntax.line_below(self._cursor)
        return _indent_of(following) <= _indent_of(last)


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip())


def is_even(root: Node, behind: int) -> bool:
    """Whether in each block around a place what stands before it and behind it begins in the same column.

    `behind` is where the place ends, in bytes. What shares a line with what is before it counts for nothing, as
    comments do.
    """
    node = root.descendant_for_byte_range(behind, behind)
    while node is not None:
        if node.type in BLOCKS:
            before, following = _beside(node, behind)
            if (
                before is not None
                and following is not None
                and before.end_point.row < following.start_point.row
                and before.start_point.column != following.start_point.column
            ):
                return False
        node = node.parent
    return True


def _beside(block: Node, behind: int) -> tuple[Node | None, Node | None]:
    """The last child that begins before a byte and the first one that does not, comments left out."""
    # by a cursor: a node that is asked for its sibling may bring the process down (tree-sitter 0.26.1)
    cursor, before, following = block.walk(), None, None
    if cursor.goto_first_child_for_byte(behind) is None:
        return None, None
    is_there = True
    while is_there and (cursor.node is None or _is_left_out(cursor.node, behind)):
        is_there = cursor.goto_next_sibling()
    if is_there:
        following = cursor.node
        while cursor.goto_previous_sibling():
            if cursor.node is not None and cursor.node.type != "comment":
                before = cursor.node
                break
    return before, following


def _is_left_out(node: Node, behind: int) -> bool:
    return node.start_byte < behind or node.type == "comment"


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
