"""Splits a file along its syntax: blocks that together are the whole text, and a short chunk a definition.

A cut lies at the start of a line, before a syntactic unit and the comments above it. A unit that is larger than the
budget is cut inside, at its own units; where syntax helps no more, between lines, and a longer line anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tree_sitter import Node

from warmline_engine.syntax.grammars import GRAMMARS, comment_mark
from warmline_engine.syntax.parsed import parsed

from .signatures import Signature, name_of, signatures

BUDGET = 1_000  # UTF-8 bytes of a block: some 250 to 350 tokens
LEAST = 160  # a smaller definition shares its block with its neighbours
TINY = 80  # a header no longer than this goes with what stands below it
MAX_OPENED = 200_000  # nodes looked at in one file, over and over where they are inside each other; then lines
_DEEPEST = 64  # nodes inside each other that are opened; below that, lines
_HEADS = {"decorator", "attribute_item", "attribute_list", "marker_annotation", "annotation"}


@dataclass(frozen=True)
class Block:
    """A span of a file, and the names of the definitions around it, outermost first.

    Units: start and end count code points, half-open; line from 0.
    """

    start: int
    end: int
    line: int
    scopes: tuple[str, ...]
    name: str  # what the block defines, "" where it is no whole definition
    text: str


@dataclass(frozen=True)
class Parts:
    blocks: list[Block]
    signatures: list[Signature]


def split(text: str, language: str, budget: int = BUDGET) -> Parts:
    """The blocks of a text, which cover it and stay within the budget, and its signatures.

    Cost: one parse, and a visit of the units larger than the budget.
    """
    assert budget > 0, budget
    # a lone surrogate cannot be parsed; one character stands for it, so that counts agree
    source = text.encode("utf-8", "replace")
    root = parsed(language, source)
    if root is None:
        pieces, found = [_Piece(0, len(source), (), "")], list[Signature]()
    else:
        pieces = list(_pieces(root, source, language, budget))
        found = signatures(root, source, language)
    cut = [part for piece in _merged(pieces, budget) for part in _within(piece, source, budget)]
    blocks: list[Block] = []
    start = line = 0
    for piece in cut:
        end = start + len(source[piece.start : piece.end].decode())
        content = text[start:end]
        blocks.append(Block(start, end, line, piece.scopes, piece.name, content))
        start, line = end, line + content.count("\n")
    assert start == len(text), (start, len(text))
    return Parts(blocks, found)


def header(path: str, language: str, scopes: tuple[str, ...]) -> str:
    """The line that names a chunk's source, as a comment of its language."""
    return f"{comment_mark(language)} {' > '.join((path, *scopes))}\n"


@dataclass(frozen=True)
class _Piece:
    """A span of bytes that syntax does not cut."""

    start: int
    end: int
    scopes: tuple[str, ...]
    name: str

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class _Open:
    """A span with its nodes, in order; to be cut or kept."""

    start: int
    end: int
    nodes: list[Node]
    scopes: tuple[str, ...]
    depth: int


def _pieces(root: Node, source: bytes, language: str, budget: int) -> Iterator[_Piece]:
    """Spans of the source in order, cut as deep as the budget requires; leaves may be larger."""
    definitions = GRAMMARS[language].definitions
    stack: list[_Open | _Piece] = [_Open(0, len(source), root.children, (), 0)]
    n_opened = 0
    while stack:
        item = stack.pop()
        if isinstance(item, _Piece):
            yield item
            continue
        inner: list[_Open | _Piece] = []
        groups = _groups(item, source)
        ends = [start for start, _ in groups[1:]] + [item.end]
        for (start, nodes), end in zip(groups, ends, strict=True):
            if end - start <= budget or not nodes:
                named = (
                    name_of(node, source, language) for node in nodes if node.type in definitions
                )
                name = next((name for name in named if name), "")
                inner.append(_Piece(start, end, item.scopes, name))
                continue
            # the largest node is replaced by its children: one level deeper, so this comes to an end
            widest = max(range(len(nodes)), key=lambda k: nodes[k].end_byte - nodes[k].start_byte)
            n_opened += len(nodes) + nodes[widest].child_count
            is_enough = item.depth == _DEEPEST or n_opened > MAX_OPENED
            if not nodes[widest].child_count or is_enough:
                inner.append(_Piece(start, end, item.scopes, ""))
                continue
            name = (
                name_of(nodes[widest], source, language)
                if nodes[widest].type in definitions
                else ""
            )
            scopes = item.scopes
            if name and scopes[-1:] != (name,):  # a wrapper has the name of what it wraps
                scopes = (*scopes, name)
            opened = [*nodes[:widest], *nodes[widest].children, *nodes[widest + 1 :]]
            inner.append(_Open(start, end, opened, scopes, item.depth + 1))
        stack += reversed(inner)


def _groups(stretch: _Open, source: bytes) -> list[tuple[int, list[Node]]]:
    """A span's nodes, grouped by the places where it may be cut: (start, nodes from there)."""
    groups: list[tuple[int, list[Node]]] = [(stretch.start, [])]
    above: Node | None = None
    for node in stretch.nodes:
        behind = stretch.start if above is None else above.end_byte
        # between two nodes there is nothing but space
        start = source.rfind(b"\n", behind, node.start_byte) + 1 or behind
        is_first = (
            source[start - 1 : start] == b"\n" and not source[start : node.start_byte].strip()
        )
        # a comment or decorator belongs to what stands on the next line
        is_held = (
            above is not None
            and ("comment" in above.type or above.type in _HEADS)
            and node.start_point.row <= above.end_point.row + 1
        )
        if is_first and not is_held and groups[-1][0] < start:
            groups.append((start, [node]))
        else:
            groups[-1][1].append(node)
        above = node
    return groups


def _merged(pieces: Iterable[_Piece], budget: int) -> Iterator[_Piece]:
    """Joins neighbours while they fit; a definition of some size stays separate."""
    block: _Piece | None = None
    for piece in pieces:
        if block is None:
            block = piece
            continue
        is_alone = (block.name or piece.name) and min(block.size, piece.size) >= LEAST
        fits = block.size + piece.size <= budget
        # a header alone, as `class Box:`, goes with the first of what it holds
        is_header = block.size < TINY and piece.scopes[: len(block.scopes)] == block.scopes
        if fits and not is_alone and (block.scopes == piece.scopes or is_header):
            name = block.name if piece.size < block.size else piece.name
            block = _Piece(block.start, piece.end, piece.scopes, name)
            continue
        yield block
        block = piece
    if block is not None and block.size:
        yield block


def _within(piece: _Piece, source: bytes, budget: int) -> Iterator[_Piece]:
    """A piece cut between lines, or inside a line that is longer than the budget by itself."""
    if piece.size <= budget:
        yield piece
        return
    start = piece.start
    while budget < piece.end - start:
        end = source.rfind(b"\n", start, start + budget) + 1
        if end <= start:
            end = start + budget
            while source[end] & 0xC0 == 0x80 and start < end:  # inside a character
                end -= 1
            if end == start:  # a character over the budget by itself
                end = start + budget
                while end < piece.end and source[end] & 0xC0 == 0x80:
                    end += 1
        yield _Piece(start, end, piece.scopes, "")
        start = end
    if start < piece.end:
        yield _Piece(start, piece.end, piece.scopes, "")
