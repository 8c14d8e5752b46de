"""Ways of finding a text among all by its words, by vectors, or by both: each scores every text for a query."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from warmline_engine.retrieval.index.encoder import Encoder, unit
from warmline_engine.retrieval.index.words import words
from warmline_engine.retrieval.rank import COSINE, RRF_RANKS
from warmline_engine.retrieval.source.split import split

K1, B = 1.2, 0.75  # as FTS5 has them
Ranker = Callable[[str], NDArray[np.float64]]
"""way(query) -> the score of each text, 0 where nothing speaks for it"""

WORDS, WORDS_OF_BLOCKS = (
    f"BM25, names and their parts, {of}" for of in ("whole functions", "blocks")
)
VECTORS, NEAREST, MEAN = (
    f"vectors, {of}" for of in ("whole functions", "nearest block", "mean of blocks")
)
FUSED = {
    "BM25 and vectors, whole functions": (WORDS, VECTORS),
    "BM25 and vectors, blocks": (WORDS_OF_BLOCKS, NEAREST),
}


def rankers_for(codes: Sequence[str], encoder: Encoder) -> dict[str, Ranker]:
    """The ways by name, over Python texts; `FUSED` says which of them are fused."""
    whole = [[code] for code in codes]
    blocks = [[block.text for block in split(code, "python").blocks] for code in codes]
    rankers: dict[str, Ranker] = {}
    for with_parts, shown in ((False, "whole names"), (True, "names and their parts")):
        for documents, of in ((whole, "whole functions"), (blocks, "blocks")):
            rankers[f"BM25, {shown}, {of}"] = _by_words(documents, with_parts)
    owners = np.repeat(np.arange(len(codes)), [len(parts) for parts in blocks])
    of_blocks = encoder.encode([part for parts in blocks for part in parts])
    sums = np.zeros((len(codes), encoder.n_dimensions), np.float32)
    np.add.at(sums, owners, of_blocks)
    of_whole, means = encoder.encode(codes), unit(sums)

    def nearest(query: str) -> NDArray[np.float64]:
        best = np.full(len(codes), -1.0)
        np.maximum.at(best, owners, (of_blocks @ encoder.encode([query])[0]).astype(np.float64))
        return best + 1

    def cosines(vectors: NDArray[np.float32]) -> Ranker:
        return lambda query: (vectors @ encoder.encode([query])[0]).astype(np.float64) + 1

    return rankers | {VECTORS: cosines(of_whole), NEAREST: nearest, MEAN: cosines(means)}


def fused(rankers: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Scores by reciprocal-rank fusion of several. Shapes: each [texts] → [texts]."""
    total = np.zeros(len(rankers[0]))
    for scores in rankers:
        total += np.where(scores > 0, 1 / (RRF_RANKS + ranks_of(scores)), 0)
    return total


def added(by_words: NDArray[np.float64], by_vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores by words and by vectors in one, as `rank.together` adds them. Shapes: two [texts] → [texts]."""
    return by_words / max(by_words.max(), 1e-9) + COSINE * by_vectors


def ranks_of(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Ranks from 1; texts of the same score share the mean of their ranks, rounded up. Shapes: [n] → [n]."""
    # what differs in its last bits only is the same score
    _, place, counts = np.unique(-np.round(scores, 9), return_inverse=True, return_counts=True)
    above = np.cumsum(counts) - counts
    return above[place] + (counts[place] + 2) // 2


def rank_of(scores: NDArray[np.float64], text: int) -> int:
    """The rank of one text, as `ranks_of` has it."""
    rounded = np.round(scores, 9)
    n_same = int((rounded == rounded[text]).sum())
    return int((rounded > rounded[text]).sum()) + (n_same + 2) // 2


class Bm25:
    """BM25 over documents of several parts each; a document has the score of its best part."""

    def __init__(self, documents: Sequence[Sequence[Sequence[str]]]) -> None:
        of_word: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._owners: list[int] = []
        lengths: list[int] = []
        for owner, parts in enumerate(documents):
            for part in parts:
                for word, count in Counter(part).items():
                    of_word[word].append((len(self._owners), count))
                self._owners.append(owner)
                lengths.append(len(part))
        self._n_documents = len(documents)
        # of each word: the parts that have it, and how often
        self._of_word = {word: np.array(having).T for word, having in of_word.items()}
        self._norms = K1 * (1 - B + B * np.array(lengths) / (sum(lengths) / max(1, len(lengths))))

    def scores(self, wanted: Sequence[str]) -> NDArray[np.float64]:
        """The score of each document, 0 without a wanted word. Shape: [documents]."""
        n = len(self._owners)
        of_part = np.zeros(n)
        for word in sorted(set(wanted)):
            if word not in self._of_word:
                continue
            parts, counts = self._of_word[word]
            idf = max(math.log((n - len(parts) + 0.5) / (len(parts) + 0.5)), 1e-6)
            of_part[parts] += idf * counts * (K1 + 1) / (counts + self._norms[parts])
        best = np.zeros(self._n_documents)
        np.maximum.at(best, self._owners, of_part)
        return best

    def rank(self, wanted: Sequence[str], owner: int) -> int | None:
        """The rank of a document from 1; those of the same score share the mean of their ranks, rounded up."""
        scores = self.scores(wanted)
        return rank_of(scores, owner) if scores[owner] else None


def _by_words(documents: Sequence[Sequence[str]], with_parts: bool) -> Ranker:
    index = Bm25([[words(part, with_parts) for part in parts] for parts in documents])
    return lambda query: index.scores(words(query, with_parts))
