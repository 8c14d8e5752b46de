"""A second version of a sequence's last tokens, one that sees less of what stands before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from .slots import Ints

NOTHING_HIDDEN: Ints = np.empty(0, np.int64)


@dataclass
class SecondRow:
    """What was made so far of the second version: `Sequence.logits_without` goes on from there.

    From position `start` on tokens see no chunk, and nothing at the positions `hidden`, which lie before it.

    Shapes: hidden [k]; unrotated keys and values [layers, kv heads, len(tokens), head size].
    """

    start: int
    hidden: Ints = field(default_factory=lambda: NOTHING_HIDDEN)
    tokens: list[int] = field(default_factory=list[int])
    rows: tuple[Tensor, Tensor] | None = None

    def n_known(self, tokens: Sequence[int]) -> int:
        """How many of these tokens from `start` on were made before and stand behind the same ones."""
        n = 0
        while n < min(len(tokens), len(self.tokens)) and tokens[n] == self.tokens[n]:
            n += 1
        return n
