"""What tree-sitter sees around a cursor. Grammars are loaded when first asked for."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser


@dataclass(frozen=True)
class Place:
    is_comment: bool
    is_string: bool


@functools.cache
def _parser(language: str) -> Parser | None:
    if language != "python":
        return None
    import tree_sitter_python
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_python.language()))


def place_of(uri: str, language: str, text: str, offset: int) -> Place | None:
    """Whether an offset lies in a comment or a string, None in a language without a grammar."""
    parser = _parser(language)
    if parser is None:
        return None
    at = len(text[:offset].encode())
    node: Node | None = parser.parse(text.encode()).root_node.descendant_for_byte_range(
        max(0, at - 1), at
    )
    while node is not None:
        inside = node.start_byte < at
        if node.type == "comment" and inside:
            return Place(True, False)
        if node.type == "interpolation" and inside and at < node.end_byte:
            return Place(False, False)
        if node.type == "string" and inside and (at < node.end_byte or node.has_error):
            return Place(False, True)
        node = node.parent
    return Place(False, False)


def whole_lines(language: str, before: str, lines: list[str]) -> int:
    """How many of the lines, put behind `before`, are whole statements; all of them where that cannot be told.

    What was generated may stop in the middle of a statement: offered whole, it would be broken code.
    """
    parser = _parser(language)
    if parser is None:
        return len(lines)
    around = before[_start_of_definition(before) :]
    for n_lines in range(len(lines), 0, -1):
        text = around + "\n".join(lines[:n_lines]) + "\n"
        if not parser.parse(text.encode()).root_node.has_error:
            return n_lines
    return len(lines)


def _start_of_definition(text: str) -> int:
    """The last line that begins in the first column: what is above it parses by itself."""
    line = text.rfind("\n") + 1
    while line > 0 and (text[line : line + 1] in ("", " ", "\t", "\n", "\r", ")", "]", "}", "#")):
        line = text.rfind("\n", 0, line - 1) + 1
    return line
