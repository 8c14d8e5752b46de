"""Models by hand: a function of the tokens, no weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from warmline_engine.cache.slots import Ints

N_TOKENS = 7


class Counted:
    """A sequence whose logits name the tokens it carries, so that a wrong context shows."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def truncate(self, n_tokens: int) -> None:
        del self.tokens[n_tokens:]

    def extend(self, tokens: Sequence[int], pending: Ints | None = None) -> Tensor:
        rows: list[Tensor] = [] if pending is None else [logits_of(self.tokens)]
        for token in tokens:
            self.tokens.append(token)
            rows.append(logits_of(self.tokens))
        return torch.stack(rows)


def logits_of(tokens: Sequence[int]) -> Tensor:
    seed = hash(tuple(tokens)) % 2**31
    return torch.randn(N_TOKENS, generator=torch.Generator().manual_seed(seed))


class Voice:
    """A model whose entropy behind n tokens is given."""

    def __init__(self, bits: Sequence[float]) -> None:
        self.bits = bits
        self.asked: list[int] = []

    def logits(self, tokens: Sequence[int]) -> Tensor:
        self.asked.append(len(tokens))
        return with_entropy(self.bits[len(tokens)])


def with_entropy(bits: float) -> Tensor:
    """Logits of nearly that entropy: evenly over as many tokens as it takes."""
    return _even(math.ceil(2**bits))


@lru_cache
def _even(n: int) -> Tensor:
    return torch.where(torch.arange(64) < n, 0.0, -1e9)
