"""A document's syntax tree, kept current through edits, and whether the text would be whole after one more edit."""

from __future__ import annotations

import io
from dataclasses import dataclass

from tree_sitter import Node, Parser, Point, Tree

from .grammars import is_indented, new_parser

MAX_BYTES = 1 << 19  # of a text: parsing code of that length takes 50 ms the first time
# for parsing a text: calls of the progress callback, each about 100 steps of the parser. Code of MAX_BYTES takes 4,000,
# data 8,000. Steps are counted, since a limit on time would make answers depend on the processor
MAX_PARSE_STEPS = 8_000
# a short text is allowed fewer: code takes one in 130 bytes; text that is no code takes one in 20, and they are slower
MIN_PARSE_STEPS = 500
BYTES_OF_PARSE_STEP = 80
N_LATE = 3  # times that parsing took more, after which it is not tried again
BYTES_OF_STEP = 4_000  # of a text, whose copying costs as much as a step
READ_BYTES = 1 << 16  # at a time
# nodes of an indented language whose statements begin in one column
BLOCKS = ("block", "module")


@dataclass
class Budget:
    """How many steps of parsing are left for one question. Steps, not time, so that answers do not vary."""

    n_steps: int

    @property
    def is_spent(self) -> bool:
        return self.n_steps <= 0


class Syntax:
    """The tree of one document. It is made when it is first needed, and updated in part after edits."""

    def __init__(self, parser: Parser, text: str, is_indented: bool = False) -> None:
        self.text = text
        self.is_indented = is_indented
        self._parser = parser
        self._tree: Tree | None = None
        self._is_current = False
        self._n_late = 0

    @classmethod
    def of(cls, language: str, text: str) -> Syntax | None:
        """None for a language without grammar."""
        parser = new_parser(language)
        return parser and cls(parser, text, is_indented(language))

    def edit(self, start: int, end: int, replacement: str, text: str) -> None:
        """Follows an edit of the code points [start, end) that led to `text`."""
        if self._tree is not None:
            note_edit(self._tree, self.text, start, end, replacement)
        self.text, self._is_current = text, False

    def is_whole(
        self, start: int, end: int, replacement: str, budget: Budget | None = None
    ) -> bool:
        """Whether the text has no error with this in the place of [start, end); True if that takes too many steps.

        The steps are taken from the budget; one parse may exceed it. In an indented language the columns of the
        statements around the place have to match too, which grammars do not check.
        """
        return self.parses(start, end, replacement, budget) is not False

    def parses(
        self, start: int, end: int, replacement: str, budget: Budget | None = None
    ) -> bool | None:
        """As `is_whole`, but None if finding out takes too many steps."""
        parsed = self.parsed_with(start, end, replacement, budget)
        if parsed is None:
            return None
        text, tree = parsed
        if tree.root_node.has_error:
            return False
        behind = len(text[: start + len(replacement.rstrip())].encode())
        return not self.is_indented or is_even(tree.root_node, behind)

    def parsed_with(
        self, start: int, end: int, replacement: str, budget: Budget | None = None
    ) -> tuple[str, Tree] | None:
        """The text with this in the place of [start, end), and its tree; None if parsing takes too many steps."""
        self.follow()
        if self._tree is None or not self._is_current:
            return None
        if self.text[start:end] == replacement:
            return self.text, self._tree
        tree = self._tree.copy()
        note_edit(tree, self.text, start, end, replacement)
        text = self.text[:start] + replacement + self.text[end:]
        parsed = parse(self._parser, text, tree, budget)
        return None if parsed is None else (text, parsed)

    def has_error(self, text: str, budget: Budget | None = None) -> bool | None:
        """Whether another text in the document's language has an error; None if parsing takes too many steps.

        The steps are taken from the budget and are never more than it has.
        """
        max_steps = None if budget is None else max(0, budget.n_steps)
        tree = parse(self._parser, text, None, budget, max_steps)
        return tree.root_node.has_error if tree else None

    def rest_of_line(self, cursor: int) -> str:
        end = self.text.find("\n", cursor)
        return self.text[cursor:] if end < 0 else self.text[cursor:end]

    def line_below(self, cursor: int) -> str:
        """The first line below the cursor's that is not blank, "" for none."""
        below = self.text[cursor + len(self.rest_of_line(cursor)) :]
        return next((line for line in io.StringIO(below) if line.strip()), "")

    def follow(self) -> bool:
        """Parses pending edits before the tree is needed; returns whether there were any."""
        if self._is_current or self._n_late == N_LATE or len(self.text) > MAX_BYTES:
            return False
        self._tree = parse(self._parser, self.text, self._tree)
        self._is_current = self._tree is not None
        self._n_late += not self._is_current
        return True


def is_even(root: Node, behind: int) -> bool:
    """Whether in each block around a place the statements before and behind it begin in the same column.

    `behind` is the end of the place, in bytes. Comments do not count, nor does a statement that shares a line with the
    one before.
    """
    for node in around(root, behind, behind):
        if node.type in BLOCKS:
            before, following = _neighbours(node, behind)
            if (
                before is not None
                and following is not None
                and before.end_point.row < following.start_point.row
                and before.start_point.column != following.start_point.column
            ):
                return False
    return True


def around(root: Node, start: int, end: int) -> list[Node]:
    """The smallest node that holds a range of bytes, and the nodes around it, innermost first.

    Cost: linear in the depth; each `parent` of a node starts again at the root.
    """
    last = root.descendant_for_byte_range(start, end)
    if last is None:
        return []
    path, node = list[Node](), root
    while node is not None:
        path.append(node)
        if node == last:
            break
        node = node.child_with_descendant(last)
    return path[::-1]


def _neighbours(block: Node, behind: int) -> tuple[Node | None, Node | None]:
    """The last child that begins before a byte and the first one that does not, comments left out."""
    # through a cursor, since the siblings of a node may crash the process (tree-sitter 0.26.1)
    cursor, before, following = block.walk(), None, None
    if cursor.goto_first_child_for_byte(behind) is None:
        return None, None
    is_there = True
    while is_there and (cursor.node is None or _is_skipped(cursor.node, behind)):
        is_there = cursor.goto_next_sibling()
    if is_there:
        following = cursor.node
        while cursor.goto_previous_sibling():
            if cursor.node is not None and cursor.node.type != "comment":
                before = cursor.node
                break
    return before, following


def _is_skipped(node: Node, behind: int) -> bool:
    return node.start_byte < behind or node.type == "comment"


def parse(
    parser: Parser,
    text: str,
    tree: Tree | None = None,
    budget: Budget | None = None,
    max_steps: int | None = None,
) -> Tree | None:
    """The tree of a text, made from an older one in which the edits since were noted.

    None if it takes more steps than a text of this length may, or than `max_steps`. The steps are taken from the
    budget.
    """
    source, n_steps = text.encode(), 0
    limit = min(MAX_PARSE_STEPS, MIN_PARSE_STEPS + len(source) // BYTES_OF_PARSE_STEP)
    limit = limit if max_steps is None else min(limit, max_steps)

    def read(offset: int, _: Point) -> bytes:
        return source[offset : offset + READ_BYTES]

    def is_over(_: int, __: bool) -> bool:
        nonlocal n_steps
        n_steps += 1
        return n_steps > limit

    try:
        if tree is None:
            return parser.parse(read, encoding="utf8", progress_callback=is_over)
        return parser.parse(read, tree, encoding="utf8", progress_callback=is_over)
    except (
        ValueError
    ):  # the callback stopped it; without a reset the parser would continue with the next text
        parser.reset()
        return None
    finally:
        if budget is not None:
            budget.n_steps -= 1 + n_steps + len(source) // BYTES_OF_STEP


def note_edit(tree: Tree, text: str, start: int, end: int, replacement: str) -> None:
    """Notes an edit of a tree's text in the tree."""
    before, removed, added = (
        part.encode() for part in (text[:start], text[start:end], replacement)
    )
    a, b, c = len(before), len(before) + len(removed), len(before) + len(added)
    point = _moved(Point(0, 0), before)
    tree.edit(a, b, c, point, _moved(point, removed), _moved(point, added))


def _moved(point: Point, text: bytes) -> Point:
    """The end point of a text that starts at a point."""
    n_breaks = text.count(b"\n")
    if not n_breaks:
        return Point(point.row, point.column + len(text))
    return Point(point.row + n_breaks, len(text) - text.rfind(b"\n") - 1)
