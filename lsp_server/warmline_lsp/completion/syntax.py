"""What tree-sitter sees around a cursor. Grammars are loaded when first asked for."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warmline_lsp.documents.difference import common_prefix, common_suffix

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Tree

    from warmline_engine.syntax.tree import Budget

_MAX_AROUND = 8_000  # characters parsed in front of a completion, for each of its lines
_MAX_SEARCHED = 24_000  # characters in which an inner function or class is looked for
_MAX_PARSES = 12  # of one completion
_MAX_STEPS = 1_500  # of parsing for all of these: code of _MAX_AROUND takes 70 each time
_MAX_WHOLE = 100_000  # characters of a text that is parsed as a whole for a completion
_MAX_PARSED = 1 << 19  # characters of a text of which a tree is kept
_MAX_LATE = 3  # times that parsing a text took too many steps, after which it is not tried again
_HEADER = re.compile(r"^[ \t]+(?:async[ \t]+)?(?:def|class)\b", re.M)
# what grammars call these begins or ends so in all languages served
_CODE_IN_STRINGS = ("interpolation", "substitution")
_NO_STRINGS = ("concatenated_string",)
_CHARACTERS = ("char_literal", "character_literal", "rune_literal")


@dataclass(frozen=True)
class LexicalContext:
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
        self._n_late: dict[str, int] = {}

    def place_of(self, uri: str, language: str, text: str, offset: int) -> LexicalContext | None:
        """Whether an offset lies in a comment or a string, None in a language without a grammar.

        None also where the text is long or parsing takes too many steps. Cost: a whole parse the first time a document
        is asked about, then what changed since.
        """
        from warmline_engine.syntax.tree import parse

        parser = _parser(language)
        if parser is None or len(text) > _MAX_PARSED or self._n_late.get(uri, 0) >= _MAX_LATE:
            return None
        before, tree = self._of.pop(uri, (text, None))
        if tree is not None and before != text:
            _apply_difference(tree, before, text)
        if tree is None or before != text:
            tree = parse(parser, text, tree)
        if tree is None:
            self._n_late[uri] = self._n_late.get(uri, 0) + 1
            return None
        self._of[uri] = (text, tree)
        return _place_in(tree, len(text[:offset].encode()))

    def forget(self, uri: str) -> None:
        self._of.pop(uri, None)
        self._n_late.pop(uri, None)


def _place_in(tree: Tree, at: int) -> LexicalContext:
    from warmline_engine.syntax.tree import around

    for node in around(tree.root_node, max(0, at - 1), at):
        inside = node.start_byte < at
        if "comment" in node.type and inside and _reaches(node, at):
            return LexicalContext(True, False)
        if node.type.endswith(_CODE_IN_STRINGS) and inside and at < node.end_byte:
            return LexicalContext(False, False)
        is_string = "string" in node.type or node.type in _CHARACTERS
        is_string &= node.is_named and node.type not in _NO_STRINGS
        if is_string and inside and (at < node.end_byte or node.has_error):
            return LexicalContext(False, True)
    return LexicalContext(False, False)


def _reaches(comment: Node, at: int) -> bool:
    """Whether a place at its end is still in it: one to the end of a line has no end of its own."""
    return at < comment.end_byte or not (comment.text or b"").endswith(b"*/")


def _apply_difference(tree: Tree, old: str, new: str) -> None:
    """Marks in a tree what changed between its text and another, as one edit."""
    from warmline_engine.syntax.tree import note_edit

    head = common_prefix(old, new)
    tail = common_suffix(old[head:], new[head:])
    note_edit(tree, old, head, len(old) - tail, new[head : len(new) - tail])


def whole_lines(language: str, before: str, lines: list[str]) -> int:
    """How many of the lines, put behind `before`, are whole statements; all of them where that cannot be told.

    What was generated may stop in the middle of a statement: offered whole, it would be broken code.
    """
    around = _enclosing(before) if language == "python" else None  # others need no indentation
    if around is None:
        return len(lines)
    from warmline_engine.syntax.tree import Budget

    budget = Budget(_MAX_STEPS)
    for n_lines in range(len(lines), max(0, len(lines) - _MAX_PARSES), -1):
        has_error = _has_error(language, around + "\n".join(lines[:n_lines]) + "\n", budget)
        if has_error is False:
            return n_lines
        if has_error is None or budget.is_spent:
            return len(lines)
    return len(lines)


def breaks(language: str, before: str, completion: str) -> bool:
    """Whether code with a completion at its end has an error; not where that cannot be told."""
    around = _enclosing(before) if language == "python" else None
    return around is not None and bool(_has_error(language, f"{around}{completion}\n"))


def is_whole(language: str, text: str) -> bool:
    """Whether a text has no error; not where that takes too many steps to find."""
    return len(text) <= _MAX_WHOLE and _has_error(language, text) is False


def _has_error(language: str, text: str, budget: Budget | None = None) -> bool | None:
    """None where parsing takes too many steps, or there is no grammar."""
    from warmline_engine.syntax.tree import parse

    parser = _parser(language)
    tree = parser and parse(
        parser, text, None, budget, None if budget is None else max(0, budget.n_steps)
    )
    return tree.root_node.has_error if tree else None


def _enclosing(before: str) -> str | None:
    """What stands before a cursor, from where it can be parsed by itself: its whole top-level definition,

    or, of a very long one, the innermost function or class that has begun. None where neither is near.
    """
    near = before[-_MAX_AROUND:]
    start = _start_of_definition(near)
    if start > 0 or len(near) == len(before):
        return near[start:]
    near = before[-_MAX_SEARCHED:]
    headers = list(_HEADER.finditer(near, near.find("\n") + 1))
    # an indented header needs something to be indented under
    return "if x:\n" + near[headers[-1].start() :] if headers else None


def _start_of_definition(text: str) -> int:
    """The last line that begins in the first column: what is above it parses by itself."""
    line = text.rfind("\n") + 1
    while line > 0 and (text[line : line + 1] in ("", " ", "\t", "\n", "\r", ")", "]", "}", "#")):
        line = text.rfind("\n", 0, line - 1) + 1
    return line
