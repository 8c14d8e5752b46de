"""Sampling: draws the tokens of an alternative at random, the same ones for the same seed.

Sources: Holtzman et al. 2019, nucleus sampling (arXiv:1904.09751); Basu et al. 2020, Mirostat (arXiv:2007.14966), its
second version.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SamplingRule:
    """With a `surprise`, in bits per token, Mirostat aims at it; without, nucleus sampling uses `top_p`."""

    temperature: float = 0.8
    top_p: float = 0.95
    surprise: float | None = None
    rate: float = 0.1  # how fast Mirostat follows


class Sampler:
    """Draws the tokens of one answer."""

    def __init__(self, rule: SamplingRule, seed: int) -> None:
        self._rule = rule
        self._generator = torch.Generator().manual_seed(seed)
        self._max_surprise = 2 * (rule.surprise or 0.0)

    def __call__(self, logprobs: Tensor) -> int:
        """A token. Shape: [V] float32, -inf for what may not be drawn."""
        scaled = (logprobs / self._rule.temperature).log_softmax(0)
        values, ids = scaled.sort(descending=True)
        n = max(1, self._n_allowed(values))
        token = int(torch.multinomial(values[:n].exp().cpu(), 1, generator=self._generator))
        if self._rule.surprise is not None:
            surprise = -float(values[token] - values[:n].logsumexp(0)) / math.log(2)
            self._max_surprise -= self._rule.rate * (surprise - self._rule.surprise)
        return int(ids[token])

    def _n_allowed(self, values: Tensor) -> int:
        """How many of the likeliest tokens may be drawn. Shape: values [V], falling."""
        if self._rule.surprise is not None:
            return int((values >= -self._max_surprise * math.log(2)).sum())
        before = values.exp().cumsum(0) - values.exp()
        return int(((before < self._rule.top_p) & torch.isfinite(values)).sum())
