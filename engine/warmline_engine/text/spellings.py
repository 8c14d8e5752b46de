"""Which tokens may come where the text that follows is known to begin with certain characters."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from .tokenizer import Tokenizer

LAST_CHARACTER = "\U0010ffff"


class Spellings:
    """The tokens of a vocabulary by their text. Tokens that hold no whole characters are not among them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        spelled = [(text, token) for token, text in tokenizer.texts().items()]
        spelled.sort()
        self._texts = [text for text, _ in spelled]
        self._ids = np.array([token for _, token in spelled], np.int64)

    def prefix_compatible(self, text: str) -> NDArray[np.int64]:
        """Tokens that begin with a text that is not empty, and tokens that the text begins with. Shape: [n], rising."""
        beginning = self._between(text, text + LAST_CHARACTER)
        longer = [self._between(start, start + "\0") for start in accumulate(text[:-1])]
        return np.sort(np.concatenate((beginning, *longer)))

    def can_spell(self, text: str) -> bool:
        """Whether each of its characters is a token, so that after any of its beginnings some token agrees."""
        return all(len(self._between(c, c + "\0")) for c in set(text))

    def _between(self, first: str, last: str) -> NDArray[np.int64]:
        return self._ids[bisect_left(self._texts, first) : bisect_left(self._texts, last)]
