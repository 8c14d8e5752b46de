"""Switching: the small model speaks, and the base model where the small one has been uncertain for a while.

Source: Simonds 2025, "Entropy adaptive decoding" (arXiv:2502.06833). What is left open there: the small model begins;
the first switch waits for nothing; means are over what there is while a window fills, and a window begins anew with
each switch, because the entropies of two models do not compare; the token at which a switch is decided is already the
incoming model's. No token is taken back, so the answer may differ from the base model's.
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
    """The base model speaks while the mean entropy is above `entropy_threshold` bits. `window` and `min_run` count
    tokens.

    Nothing changes within `min_run` tokens of a switch.
    """

    entropy_threshold: float
    window: int = 5
    min_run: int = 10


class LogitsSource(Protocol):
    """A model that reads in one pass what the other one said meanwhile."""

    def logits(self, tokens: Sequence[int]) -> Tensor: ...


class Switching:
    """One answer by two models."""

    def __init__(
        self,
        small: LogitsSource,
        base: LogitsSource,
        rule: SwitchRule,
        begins_with_base: bool = False,
    ) -> None:
        self.is_base = begins_with_base
        self.n_by_base = 0  # tokens that the base model chose
        self.n_switches = 0
        self._sources = small, base
        self._rule = rule
        self._entropies = deque[float](maxlen=rule.window)
        self._n_since = rule.min_run  # tokens since the last switch

    def logits(self, tokens: Sequence[int]) -> Tensor:
        """The logits behind tokens, of the model whose turn it is. Asked once for each token. Shape: [V] float32."""
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
