"""Pieces of other files that a file of the corpus can read: definitions of names it uses, as retrieval shows them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from os.path import commonpath

import numpy as np

from warmline_engine.retrieval.rank import SHORT
from warmline_engine.retrieval.source.split import header, split
from warmline_engine.syntax.grammars import LINES_ONLY, language_of

MAX_DEFINITIONS = 4  # a name that more files define says nothing
N_PARSED = 256  # files whose pieces are kept
_PYTHON = re.compile(r"^(?:async def|def|class) +(\w{4,})|^([A-Z][A-Z_\d]{3,}) *=", re.MULTILINE)
_SCRIPT = re.compile(
    r"^(?:export +)?(?:default +)?(?:declare +)?(?:abstract +|async +)*"
    r"(?:(?:function\b *\*?|class|interface|type|enum|namespace) *(\b\w{4,})|(?:const|let|var) +(\w{4,}) *[:=])",
    re.MULTILINE,
)
_NAME = re.compile(r"[^\W\d]\w{3,}")


class Neighbours:
    """Finds pieces by name alone: a package of the corpus is no workspace whose imports could be followed."""

    def __init__(self, origins: Sequence[str], paths: Sequence[str], texts: Sequence[str]) -> None:
        """Of each document: the package it comes from, its path there, and its text."""
        self._origins, self._paths, self._texts = origins, paths, texts
        # (package, name) → documents that define it at their top level
        self._where: dict[tuple[str, str], list[int]] = defaultdict(list)
        for document, (origin, text) in enumerate(zip(origins, texts, strict=True)):
            for name in _defined(paths[document], text):
                self._where[origin, name].append(document)
        self._pieces_of = lru_cache(N_PARSED)(self._parsed)

    def pieces(self, document: int, text: str, rng: np.random.Generator) -> Iterator[str]:
        """Pieces for a stretch of a document, in an order that `rng` draws, each with its header."""
        names = sorted(set(_NAME.findall(text)))
        rng.shuffle(names)
        for name in names:
            if piece := self.of_name(document, name):
                yield piece

    def of_name(self, document: int, name: str) -> str | None:
        """The nearest piece of another file that defines a name used in a document; None where none says much."""
        where = self._where.get((self._origins[document], name), [])
        if not 0 < len(where) <= MAX_DEFINITIONS or document in where:
            return None
        nearest = max(where, key=lambda other: (self._n_shared(document, other), -other))
        return self._pieces_of(nearest).get(name)

    def _n_shared(self, one: int, other: int) -> int:
        """How many characters of their folders two documents share."""
        return len(commonpath([self._paths[one], self._paths[other]]))

    def _parsed(self, document: int) -> dict[str, str]:
        """The pieces of a document by the name they define."""
        path = self._paths[document]
        language = language_of(path) or LINES_ONLY
        parts = split(self._texts[document], language)
        found = {
            one.name: header(path, language, one.scopes) + one.text
            for one in reversed(parts.signatures)
            if not one.scopes
        }
        for block in parts.blocks:
            if block.name in found and len(block.text) <= SHORT and not block.scopes:
                found[block.name] = header(path, language, ()) + block.text
        return found


def _defined(path: str, text: str) -> set[str]:
    """The names of four characters or more that a file defines at its top level, as far as a glance shows."""
    language = language_of(path)
    if language is None:
        return set()
    pattern = _PYTHON if language == "python" else _SCRIPT
    return {one or other for one, other in pattern.findall(text)}
