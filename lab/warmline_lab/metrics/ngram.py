"""The baseline that a trained model must beat: a 5-gram model with interpolated Witten-Bell backoff.

P_n(w | h) = (c(h w) + T(h) · P_{n-1}(w | h')) / (c(h) + T(h)), where T(h) counts the different tokens seen
behind h and h' is h without its first token. Source: Witten and Bell 1991.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORDER = 5
_MIX = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Counts:
    """How often each history, and each history with its next token, was seen."""

    histories: Hashes
    n_history: NDArray[np.int64]
    n_following: NDArray[np.int64]  # different tokens behind each history
    grams: Hashes
    n_gram: NDArray[np.int64]


class NGram:
    """Counts over the tokens of a corpus."""

    def __init__(self, tokens: NDArray[np.int64], n_vocabulary: int) -> None:
        self._n_vocabulary = n_vocabulary
        self._counts = [_count(tokens, order) for order in range(1, ORDER + 1)]

    def probabilities(self, tokens: NDArray[np.int64]) -> Floats:
        """Of each token but the first ORDER - 1, given those before it."""
        n = len(tokens) - ORDER + 1
        found = np.full(n, 1.0 / self._n_vocabulary)
        for order, counts in enumerate(self._counts, 1):
            view = tokens[ORDER - order :]
            histories, grams = _hashes(view, order)
            c_history = _look_up(counts.histories, counts.n_history, histories)
            following = _look_up(counts.histories, counts.n_following, histories)
            c_gram = _look_up(counts.grams, counts.n_gram, grams)
            total = c_history + following
            seen = total > 0
            found[seen] = (c_gram[seen] + following[seen] * found[seen]) / total[seen]
        return found


def _hashes(tokens: NDArray[np.int64], order: int) -> tuple[Hashes, Hashes]:
    """Hashes of each history of order - 1 tokens, and of each with its next token."""
    n = len(tokens) - order + 1
    history = np.full(n, np.uint64(order), np.uint64)
    for k in range(order - 1):
        history = (history ^ tokens[k : k + n].astype(np.uint64)) * _MIX
        history ^= history >> np.uint64(29)
    last = tokens[order - 1 : order - 1 + n].astype(np.uint64) + np.uint64(1 << 20)
    gram = (history ^ last) * _MIX
    return history, gram ^ (gram >> np.uint64(31))


def _count(tokens: NDArray[np.int64], order: int) -> _Counts:
    history, gram = _hashes(tokens, order)
    grams, first, n_gram = np.unique(gram, return_index=True, return_counts=True)
    histories, n_history = np.unique(history, return_counts=True)
    _, n_following = np.unique(history[first], return_counts=True)
    return _Counts(histories, n_history, n_following, grams, n_gram)


def _look_up(keys: Hashes, values: NDArray[np.int64], wanted: Hashes) -> Floats:
    place = np.searchsorted(keys, wanted)
    place[place == len(keys)] = 0
    return np.where(keys[place] == wanted, values[place], 0).astype(np.float64)
