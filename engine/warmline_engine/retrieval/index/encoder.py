"""Encodes text as unit vectors: pieces on the same subject are close to each other, whatever their words.

An encoder is whatever has the few members of `Encoder`. The one here reads words, not sentences: a text is a sum of
its words' tokens, each embedded as the model embeds it, weighted and projected as
`fit_encoder.py` of the lab has learnt.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from warmline_engine.text.tokenizer import Tokenizer

from .words import LONGEST, words_of

_NAME = re.compile(r"[^\W\d]\w*+")
_N_NAMES = 1 << 16  # whose tokens are kept


class Encoder(Protocol):
    """Encodes texts. Encoders with the same fingerprint produce the same vectors."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def n_dimensions(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, zero for a text without a word. Shapes: n texts → [n, D]."""
        ...


class WordEncoder:
    """Words in, vectors out: `table` holds what one occurrence of each token adds. Shape: table [V, D] float32."""

    def __init__(self, table: NDArray[np.float32], tokenizer: Tokenizer, fingerprint: str) -> None:
        self._table = table
        self._bags = Bags(tokenizer)
        self.fingerprint = fingerprint

    @property
    def n_dimensions(self) -> int:
        return self._table.shape[1]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.n_dimensions), np.float32)
        for k, text in enumerate(texts):
            tokens, counts = self._bags.of(text)
            vectors[k] = np.log1p(counts) @ self._table[tokens]
        return unit(vectors)


class Bags:
    """Counts the tokens of a text's words: of the parts that its names are made of, in lower case."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens_of = functools.lru_cache(_N_NAMES)(self._made)

    def of(self, text: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The tokens in a text, rising, and their counts. Shapes: two [n]."""
        counted: Counter[int] = Counter()
        for name, count in Counter(_NAME.findall(text)).items():
            if len(name) > LONGEST:  # no word, and the cache would keep it in memory
                continue
            for token in self._tokens_of(name):
                counted[token] += count
        tokens = np.array(sorted(counted), np.int64)
        return tokens, np.array([counted[token] for token in tokens.tolist()], np.float32)

    def _made(self, name: str) -> tuple[int, ...]:
        whole_and_parts = words_of(name)
        # a compound is what its parts say; each is read as a word in a sentence, behind a space
        parts = whole_and_parts[1:] or whole_and_parts
        return tuple(token for part in parts for token in self._tokenizer.encode(f" {part}").ids)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors scaled to length 1; zero vectors stay zero. Shapes: [n, D] → [n, D]."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)
