"""What tree-sitter sees around a cursor. Grammars are loaded when first asked for."""

from __future__ import annotations

import functools
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Tree

_MOST_AROUND = 8_000  # characters parsed around a completion, for each of its lines
_HEADER = re.compile(r"^[ \t]+(?:async[ \t]+)?(?:def|class)\b", re.M)
# what grammars call these begins or ends so in all languages served
_CODE_IN_STRINGS = ("interpolation", "substitution")
_NO_STRINGS = ("concatenated_string",)
_CHARACTERS = ("char_literal", "character_literal", "rune_literal")


@dataclass(frozen=True)
class Place:
    is_comment: bool
    is_string: bool


@functools.cache
def _parser(language: str) -> Parser | None:
    # here, for a server starts without them
    from warmline_engine.syntax.grammars import new_parser

    return new_parser(language)


class Trees:
    """The syntax trees of open documents, kept so that a keystroke costs a keystroke's parsing."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[str, Tree]] = {}

    def place_of(self, uri: str, language: str, text: str, offset: int) -> Place | None:
        """Whether an offset lies in a comment or a string, None in a language without a grammar.

        None also where parsing takes too long. Cost: a whole parse the first time a document is asked about, then
        what changed since.
        """
        from warmline_engine.syntax.tree import parse

        parser = _parser(language)
        if parser is None:
            return None
        before, tree = self._of.pop(uri, (text, None))
        if tree is not None and before != text:
            _tell_difference(tree, before, text)
        if tree is None or before != text:
            tree = parse(parser, text, tree)
        if tree is None:
            return None
        self._of[uri] = (text, tree)
        return _place_in(tree, len(text[:offset].encode()))

    def forget(self, uri: str) -> None:
        self._of.pop(uri, None)


def _place_in(tree: Tree, at: int) -> Place:
    from warmline_engine.syntax.tree import around

    for node in around(tree.root_node, max(0, at - 1), at):
        inside = node.start_byte < at
        if "comment" in node.type and inside and _reaches(node, at):
            return Place(True, False)
        if node.type.endswith(_CODE_IN_STRINGS) and inside and at < node.end_byte:
            return Place(False, False)
        is_string = "string" in node.type or node.type in _CHARACTERS
        is_string &= node.is_named and node.type not in _NO_STRINGS
        if is_string and inside and (at < node.end_byte or node.has_error):
            return Place(False, True)
    return Place(False, False)


def _reaches(comment: Node, at: int) -> bool:
    """Whether a place at its end is still in it: one to the end of a line has no end of its own."""
    return at < comment.end_byte or not (comment.text or b"").endswith(b"*/")


def _tell_difference(tree: Tree, old: str, new: str) -> None:
    """Marks in a tree what changed between its text and another, as one edit."""
    from warmline_engine.syntax.tree import note_edit

    most = min(len(old), len(new))
    head = _longest(most, lambda n: old[:n] == new[:n])
    tail = _longest(most - head, lambda n: not n or old[-n:] == new[-n:])
    note_edit(tree, old, head, len(old) - tail, new[head : len(new) - tail])


def _longest(most: int, holds: Callable[[int], bool]) -> int:
    """The largest number up to `most` for which something holds that holds for all smaller ones."""
    return bisect_left(range(1, most + 1), True, key=lambda n: not holds(n))


def whole_lines(language: str, before: str, lines: list[str]) -> int:
    """How many of the lines, put behind `before`, are whole statements; all of them where that cannot be told.

    What was generated may stop in the middle of a statement: offered whole, it would be broken code.
    """
    parser = (
        _parser(language) if language == "python" else None
    )  # others do not tell by indentation
    if parser is None:
        return len(lines)
    around = _enclosing(before)
    for n_lines in range(len(lines), 0, -1):
        text = around + "\n".join(lines[:n_lines]) + "\n"
        if not parser.parse(text.encode()).root_node.has_error:
            return n_lines
    return len(lines)


def is_whole(language: str, text: str) -> bool:
    """Whether a text has no error; not where that cannot be told in time."""
    from warmline_engine.syntax.tree import parse

    parser = _parser(language)
    tree = parser and parse(parser, text)
    return tree is not None and not tree.root_node.has_error


def _enclosing(before: str) -> str:
    """What stands before a cursor, from where it can be parsed by itself: its whole top-level definition,

    or, of a very long one, the innermost function or class that has begun.
    """
    around = before[_start_of_definition(before) :]
    if len(around) <= _MOST_AROUND:
        return around
    headers = list(_HEADER.finditer(around))
    if len(headers) < 2:
        return around
    # an indented header needs something to be indented under
    return "if x:\n" + around[headers[-1].start() :]


def _start_of_definition(text: str) -> int:
    """The last line that begins in the first column: what is above it parses by itself."""
    line = text.rfind("\n") + 1
    while line > 0 and (text[line : line + 1] in ("", " ", "\t", "\n", "\r", ")", "]", "}", "#")):
        line = text.rfind("\n", 0, line - 1) + 1
    return line
