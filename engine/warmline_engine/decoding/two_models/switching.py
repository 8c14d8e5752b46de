"""Switching: the small model generates, and the base model takes over after the small one was uncertain for a while.

Source: Simonds 2025, "Entropy adaptive decoding" (arXiv:2502.06833). Our choices where it is silent: the
small model begins; the first switch may come at any token; each switch empties the window, because the entropies of two
models do not compare, and a window that is not full is averaged as it is; the incoming model already chooses the token
at which the switch is decided. No token is taken back, so the answer may differ from the base model's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from warmline_engine.decoding.logit_statistics import statistics_of


@dataclass(frozen=True)
class SwitchRule:
    """The base model generates while the mean entropy of `window` tokens is above `entropy_threshold` bits.

    There are at least `min_run` tokens between two switches.
    """

    entropy_threshold: float
    window: int = 5
    min_run: int = 10


class CatchingUp(Protocol):
    """A model that encodes the tokens of the other one in one pass."""

    def logits(self, tokens: Sequence[int]) -> Tensor: ...


class Switching:
    """One answer by two models."""

    def __init__(
        self,
        small: CatchingUp,
        base: CatchingUp,
        rule: SwitchRule,
    ) -> None:
        self.is_base = False
        self.n_by_base = 0  # tokens that the base model chose
        self.n_switches = 0
        self._sources = small, base
        self._rule = rule
        self._entropies = deque[float](maxlen=rule.window)
        self._n_since = rule.min_run  # tokens since the last switch

    def logits(self, tokens: Sequence[int]) -> Tensor:
        """The logits after tokens, of the model whose turn it is. Call it once per token. Shape: [V] float32."""
        logits = self._sources[self.is_base].logits(tokens)
        self._entropies.append(statistics_of(logits).entropy_bits)
        mean = sum(self._entropies) / len(self._entropies)
        if (
            self._rule.min_run <= self._n_since
            and (self._rule.entropy_threshold < mean) != self.is_base
        ):
            self.is_base = not self.is_base
            self.n_switches += 1
            logits = self._sources[self.is_base].logits(tokens)
            self._entropies.clear()
            self._entropies.append(statistics_of(logits).entropy_bits)
            self._n_since = 0
        self._n_since += 1
        self.n_by_base += self.is_base
        return logits
