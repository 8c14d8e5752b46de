"""What to look for at a cursor: names used near it that the file does not define, its imports, its last lines."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from tree_sitter import Node

from warmline_engine.syntax.parsed import parsed

from .index.words import words
from .source.imports import Import, imports
from .source.signatures import signatures

LINES_BEFORE = 20
LINES_AFTER = 5
MAX_CHARACTERS_BEFORE = 8_000  # of those lines: a line may be as long as a file
MAX_CHARACTERS_AFTER = 2_000
MAX_NAMES = 32
MAX_UNUSED = 64
MAX_MEMBERS = 32  # of one name
MAX_CACHED_PARAGRAPH = 4_000  # characters; a longer one is read each time and not kept in memory
MAX_VISITED = 20_000  # nodes near the cursor
_NAME = re.compile(r"[^\W\d]\w*+")
# Possessive repeats behind a word boundary: no text is scanned again from each character of a name.
_MEMBER = re.compile(r"\b([^\W\d]\w*+)\s*+(?:\.|->|::)\s*+([^\W\d]\w*+)?")
# what gives a name a value in most languages: `x =`, `x: T =`, `x :=`, `for x`, `as x`
_BOUND = re.compile(
    r"\b(?:([^\W\d]\w*+)\s*+(?::[^=\n()]{0,60}+)?:?=(?![=>])"
    r"|(?:for|as|let|var|const)\s++([^\W\d]\w*+))"
)
_PARAMETERS = re.compile(r"\b(?:def|function|func|fn|lambda)\b[^(\n:]*+\(?([^)]*+)")


@dataclass(frozen=True)
class Query:
    """What to search for.

    `names`: used near the cursor and not defined in the file, nearest first. `members`: of each name, what is accessed
    on it near the cursor, "" for the access that is being typed. `unused`: names imported and not used in the file yet.
    `near`: the text that is compared by its meaning.
    """

    path: str
    language: str
    names: tuple[str, ...]
    members: dict[str, tuple[str, ...]]
    imports: tuple[Import, ...]
    words: tuple[str, ...]
    unused: tuple[str, ...] = ()
    near: str = ""


def query(path: str, language: str, text: str, offset: int) -> Query:
    """The query for a cursor in an open document.

    Units: offset counts code points.
    """
    assert 0 <= offset <= len(text), (offset, len(text))
    before = text[max(0, offset - MAX_CHARACTERS_BEFORE) : offset].split("\n")[-LINES_BEFORE:]
    after = text[offset : offset + MAX_CHARACTERS_AFTER].split("\n")[:LINES_AFTER]
    start = offset - len("\n".join(before))
    end = offset + len("\n".join(after))
    bound = imports(path, language, text)
    source = text.encode("utf-8", "replace")
    own = _defined(text, source, language) - {one.name for one in bound}
    names: dict[str, None] = {}
    # the nearest before the cursor first, then those behind it
    placed = _names(text, source, language, start, end)
    for place, name in sorted(placed, key=lambda p: (p[0] >= offset, abs(p[0] - offset))):
        if name not in own and not place < offset <= place + len(name):  # that one is being typed
            names[name] = None
    members: dict[str, dict[str, None]] = {}
    for line in reversed(before):
        for name, member in _MEMBER.findall(line):
            accessed = members.setdefault(name, {})
            if len(accessed) < MAX_MEMBERS:
                accessed[member] = None
    chosen = list(names)[:MAX_NAMES]
    # what stands nearest counts twice
    near = words("\n".join([*before[-3:], *before, after[0]]))
    return Query(
        path,
        language,
        tuple(chosen),
        {name: tuple(accessed) for name, accessed in members.items()},
        tuple(bound),
        (*near, *words(" ".join(chosen))),
        tuple(islice(_unused(bound, text), MAX_UNUSED)),
        "\n".join(before),
    )


def text_query(text: str) -> Query:
    """The query for words that a user typed."""
    names = tuple(dict.fromkeys(_NAME.findall(text)))
    return Query("", "", names, {}, (), tuple(words(text)), near=text)


def _names(text: str, source: bytes, language: str, start: int, end: int) -> list[tuple[int, str]]:
    """The names in a span with their offsets; with a grammar, without keywords, comments and strings."""
    root = parsed(language, source)
    if root is None:
        return [(m.start() + start, m[0]) for m in _NAME.finditer(text[start:end])]
    first = len(text[:start].encode("utf-8", "replace"))
    last = first + len(text[start:end].encode("utf-8", "replace"))
    found: list[tuple[int, str]] = []
    place, counted = start, first  # the same place in code points of the text and in bytes
    for node in islice(_leaves(root, first, last), MAX_VISITED):
        if node.type.endswith("identifier") or node.type in ("constant", "name"):
            begin = max(counted, node.start_byte)
            place += len(source[counted:begin].decode("utf-8", "replace"))
            counted = begin
            name = source[node.start_byte : node.end_byte]
            found.append((place, name.decode("utf-8", "replace")))
    return found


def _leaves(root: Node, first: int, last: int) -> Iterator[Node]:
    """The leaf nodes in a span of bytes, in order. Cost: does not visit nodes before it."""
    cursor = root.walk()
    while True:
        if cursor.goto_first_child_for_byte(first) is not None:
            continue
        node = cursor.node
        if node is not None and last <= node.start_byte:
            return
        if node is not None and not node.child_count and first < node.end_byte:
            yield node
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _unused(bound: Sequence[Import], text: str) -> Iterator[str]:
    """The imported names that occur in a text once. Cost: one pass; more for names with other characters in them."""
    counts = Counter(_NAME.findall(text)) if bound else Counter[str]()
    for one in bound:
        is_twice = (
            counts[one.name] > 1 if one.name.isidentifier() else _stands_twice(one.name, text)
        )
        if not is_twice:
            yield one.name


def _stands_twice(name: str, text: str) -> bool:
    """Whether a text has a name more than once, not counting longer names with it inside."""
    n_found, start = 0, text.find(name)
    while start >= 0 and n_found < 2:
        end = start + len(name)
        n_found += not (_is_of_name(text[start - 1 : start]) or _is_of_name(text[end : end + 1]))
        start = text.find(name, end)
    return n_found == 2


def _is_of_name(character: str) -> bool:
    return character.isalnum() or character == "_"


def _defined(text: str, source: bytes, language: str) -> set[str]:
    """The names that a file defines."""
    root = parsed(language, source)
    found = {one.name for one in signatures(root, source, language)} if root else set[str]()
    for paragraph in text.split("\n\n"):
        is_short = len(paragraph) <= MAX_CACHED_PARAGRAPH
        found |= _given(paragraph) if is_short else _given.__wrapped__(paragraph)
    return found


@functools.lru_cache(maxsize=1 << 12)
def _given(paragraph: str) -> frozenset[str]:
    """The names that a paragraph assigns. Cached, since most paragraphs do not change between queries."""
    found = {one or other for one, other in _BOUND.findall(paragraph)}
    for inside in _PARAMETERS.findall(paragraph):
        parameters = (_NAME.match(part.strip(" *&\n\t")) for part in inside.split(","))
        found |= {match[0] for match in parameters if match}
    return frozenset(found)
