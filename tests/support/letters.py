"""An encoder by hand: how often each letter stands in a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray


class Letters:
    n_dimensions = len(ascii_lowercase)

    def __init__(self, fingerprint: str = "letters") -> None:
        self.fingerprint = fingerprint
        self.n_encoded = 0

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.n_encoded += len(texts)
        counts = [Counter(text.lower()) for text in texts]
        vectors = np.array([[of[a] for a in ascii_lowercase] for of in counts], np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
