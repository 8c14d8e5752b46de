"""From a query to the chunks worth reading, each with the reason why: imported definitions first, then fused ranks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .index.index import Chunk, Index, Kind
from .query import Query
from .source.imports import MODULE, Import
from .source.split import header

RRF_RANKS = 60  # of reciprocal-rank fusion: how little the first places differ
DEFINED = 2  # what the place among the definitions of a name weighs against one by words
N_BLOCKS = 40  # of BM25, and of vectors, that take part
COSINE = 2.0  # what it weighs against the share of the best BM25: the best of several on packages of the corpus
WORDS, MEANING = "similar words", "similar meaning"  # why a block is there
MAX_DEFINITIONS = 6  # a name defined more often says little about which one is meant
SHORT = 600  # characters up to which a definition is shown whole, else by its signature
RECENT = 0.5  # what the file edited last gains; the one before gains half of it, and so on
MAX_SOURCES = 4_000  # files that the headers of one file may be
MAX_INCLUDED = 200  # chunks of one name in them
SAME_LINES = 0.8  # share of a chunk's lines in the open file that makes it one that is known


@dataclass(frozen=True)
class Found:
    """A piece of another file, with a line that names its source, and the reason why it was chosen."""

    path: str
    line: int
    name: str
    text: str
    score: float
    why: str


def ranked(
    index: Index,
    query: Query,
    open_text: str = "",
    recent: Sequence[str] = (),
    visible: tuple[int, int] | None = None,
    limit: int = 20,
    most_characters: int = 8_000,
    near: Sequence[tuple[int, float]] = (),
    allows: Callable[[str], bool] = lambda path: True,
) -> list[Found]:
    """What to read for a query, best first, within a budget of characters.

    `open_text` is what the model sees of the file being completed, `visible` which part of that file (None: all of it);
    `recent` are paths edited lately, the last one first; `near` are blocks by their vectors, as (chunk id, cosine).
    `allows` says of a path whether it may be shown: others may have put it into the index.
    """
    scores: dict[int, _Score] = {}
    chunks: dict[int, Chunk] = {}
    # definitions first: where two rankings agree, that is the reason given
    for tier, why, list_of in _definitions(index, query):
        for rank, chunk in enumerate(list_of):
            chunks[chunk.id] = chunk
            scores.setdefault(chunk.id, _Score(tier, why)).add(rank, DEFINED)
    similar = fuse_scores(index.search(query.words, N_BLOCKS), near)
    chunks |= index.chunks(id for id, _ in similar if id not in chunks)
    for rank, (id, why) in enumerate(similar):
        if id in chunks:
            scores.setdefault(id, _Score(2, why)).add(rank)
    for rank, path in enumerate(recent):
        for id, chunk in chunks.items():
            if chunk.path == path:
                scores[id].value *= 1 + RECENT / 2**rank
    order = sorted(scores, key=lambda id: (scores[id].tier > 0, -scores[id].value, id))
    known = _Known(open_text)
    found: list[Found] = []
    is_allowed = functools.cache(allows)
    for id in order:
        chunk = chunks[id]
        is_here = chunk.path == query.path and _overlaps(chunk, visible)
        if is_here or not is_allowed(chunk.path):
            continue
        text = header(chunk.path, chunk.language, chunk.scopes) + chunk.text
        if len(text) > most_characters or known.has(chunk):
            continue
        known.add(chunk)
        most_characters -= len(text)
        found.append(
            Found(chunk.path, chunk.line, chunk.name, text, scores[id].value, scores[id].why)
        )
        if len(found) == limit:
            break
    return found


def fuse_scores(
    by_words: Sequence[tuple[int, float]], by_vectors: Sequence[tuple[int, float]]
) -> list[tuple[int, str]]:
    """Fuses two rankings into (id, reason): BM25 as a share of the best score, plus the weighted cosine.

    A chunk in only one ranking gets 0, or the lowest cosine, in the other.
    """
    best = max((score for _, score in by_words), default=0.0) or 1.0
    least = min((cosine for _, cosine in by_vectors), default=0.0)
    shares = {id: score / best for id, score in by_words}
    cosines = dict(by_vectors)
    totals = {
        id: shares.get(id, 0.0) + COSINE * cosines.get(id, least) for id in {**shares, **cosines}
    }
    return [
        (id, WORDS if id in shares else MEANING)
        for id in sorted(totals, key=lambda id: (-totals[id], id))
    ]


@dataclass
class _Score:
    tier: int
    why: str
    value: float = 0.0

    def add(self, rank: int, weight: float = 1) -> None:
        self.value += weight / (RRF_RANKS + rank + 1)


def _definitions(index: Index, query: Query) -> Iterable[tuple[int, str, list[Chunk]]]:
    """Rankings of definitions as (0: imported, 1: by name only; reason; chunks)."""
    bound = {one.name: one for one in query.imports}
    imported = [
        c for name in query.names if name in bound for c in _bound_to(index, query, bound[name])
    ]
    # everything a header defines is at hand where it is included
    includes = [one for one in query.imports if one.original == MODULE and "." in one.name]
    sources = list(dict.fromkeys(s for one in includes for s in one.sources))[:MAX_SOURCES]
    for name in query.names if sources else ():
        by_path: dict[str, list[Chunk]] = {}
        for chunk in index.named(name, sources, MAX_INCLUDED):
            by_path.setdefault(chunk.path, []).append(chunk)
        for one in includes if by_path else ():
            imported += _shown([c for source in one.sources for c in by_path.get(source, ())])
    yield 0, "imported", imported
    # what was imported and is not used yet is likely wanted soon
    unused = [name for name in query.unused if name not in query.names]
    yield (
        1,
        "imported, not used yet",
        [c for n in unused for c in _bound_to(index, query, bound[n])],
    )
    by_name: list[Chunk] = []
    for name in query.names:
        if name not in bound:
            chunks = _shown(index.named(name))
            if len(chunks) <= MAX_DEFINITIONS:
                by_name += chunks
    yield 1, "defines a name used here", by_name


def _bound_to(index: Index, query: Query, one: Import) -> list[Chunk]:
    """The definitions of an imported name, or those accessed through it near the cursor."""
    members = query.members.get(one.name, ())
    names = members if one.original == MODULE else (one.original, *members)
    return [c for name in names if name for c in _shown(_reached(index, name, one.sources))]


def _reached(index: Index, name: str, sources: tuple[str, ...]) -> list[Chunk]:
    """A name's definitions in an import's files; for a package that re-exports names, those in its folder."""
    direct = index.named(name, sources)
    if direct:
        return direct
    folders = tuple(
        source.removesuffix("__init__.py") for source in sources if source.endswith("/__init__.py")
    )
    return [c for c in index.named(name) if c.path.startswith(folders)] if folders else []


def _shown(chunks: list[Chunk]) -> list[Chunk]:
    """One chunk for each definition: all of it if it is short, else its signature."""
    best: dict[tuple[str, tuple[str, ...], str, int], Chunk] = {}
    short = {
        (c.path, c.scopes, c.name) for c in chunks if c.kind == Kind.BLOCK and len(c.text) <= SHORT
    }
    for chunk in chunks:
        is_whole = chunk.kind == Kind.BLOCK
        if is_whole == ((chunk.path, chunk.scopes, chunk.name) in short) and (
            not is_whole or len(chunk.text) <= SHORT
        ):
            best.setdefault((chunk.path, chunk.scopes, chunk.name, chunk.line), chunk)
    return list(best.values())


def _overlaps(chunk: Chunk, visible: tuple[int, int] | None) -> bool:
    if visible is None or chunk.kind == Kind.SIGNATURE:
        return True
    return chunk.start < visible[1] and visible[0] < chunk.start + len(chunk.text)


class _Known:
    """The text that the model sees already: the open file and the chosen pieces."""

    def __init__(self, open_text: str) -> None:
        self._open = set(_lines(open_text))
        self._chosen: set[str] = set()
        self._texts: set[str] = set()

    def has(self, chunk: Chunk) -> bool:
        lines = _lines(chunk.text)
        if not lines or "\n".join(lines) in self._texts:
            return True
        if chunk.kind == Kind.SIGNATURE and self._chosen.issuperset(lines):
            return True
        return sum(line in self._open for line in lines) >= SAME_LINES * len(lines)

    def add(self, chunk: Chunk) -> None:
        lines = _lines(chunk.text)
        self._texts.add("\n".join(lines))
        self._chosen.update(lines)


def _lines(text: str) -> list[str]:
    return [stripped for line in text.split("\n") if (stripped := line.strip())]
