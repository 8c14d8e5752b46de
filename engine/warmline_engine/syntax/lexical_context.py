"""Whether a place in a document is in a comment or in a string."""

from __future__ import annotations

from dataclasses import dataclass

from tree_sitter import Node, Tree

from .tree import Syntax, around

# grammars of all languages served end the names of these nodes like this
_CODE_IN_STRINGS = ("interpolation", "substitution")
_NO_STRINGS = ("concatenated_string",)
_CHARACTERS = ("char_literal", "character_literal", "rune_literal")


@dataclass(frozen=True)
class LexicalContext:
    is_comment: bool = False
    is_string: bool = False


def lexical_context(
    syntax: Syntax, offset: int, virtual_text: str = "", n_replaced: int = 0
) -> LexicalContext | None:
    """The context at the end of `virtual_text`, which replaces `n_replaced` characters from the offset on.

    None if the text is long or parsing takes too many steps. Cost: parsing the changes since the last use.
    """
    end = min(offset + max(0, n_replaced), len(syntax.text))
    parsed = syntax.parsed_with(offset, end, virtual_text)
    if parsed is None:
        return None
    text, tree = parsed
    return _context_in(tree, len(text[: offset + len(virtual_text)].encode()))


def contexts_within(
    syntax: Syntax, offset: int, virtual_text: str, completion: str
) -> list[LexicalContext] | None:
    """The context after each character of a completion but the last.

    None if the text is long or parsing takes too many steps. Cost: a walk down the tree for each character.
    """
    parsed = syntax.parsed_with(offset, offset, virtual_text + completion)
    if parsed is None:
        return None
    text, tree = parsed
    at, found = len(text[: offset + len(virtual_text)].encode()), list[LexicalContext]()
    for character in completion[:-1]:
        at += len(character.encode())
        found.append(_context_in(tree, at))
    return found


def _context_in(tree: Tree, at: int) -> LexicalContext:
    """Units: `at` counts bytes."""
    for node in around(tree.root_node, max(0, at - 1), at):
        inside = node.start_byte < at
        if "comment" in node.type and inside and _reaches(node, at):
            return LexicalContext(is_comment=True)
        if node.type.endswith(_CODE_IN_STRINGS) and inside and at < node.end_byte:
            return LexicalContext()
        is_string = "string" in node.type or node.type in _CHARACTERS
        is_string &= node.is_named and node.type not in _NO_STRINGS
        if is_string and inside and (at < node.end_byte or node.has_error):
            return LexicalContext(is_string=True)
    return LexicalContext()


def _reaches(comment: Node, at: int) -> bool:
    """Whether a comment still holds a place at its end: a comment to the end of a line has no end mark."""
    return at < comment.end_byte or not (comment.text or b"").endswith(b"*/")
