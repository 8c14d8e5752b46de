"""The threshold of switching, which may be fitted to a goal while the pair serves.

After each answer it moves by the error of the answer (stochastic approximation, Robbins and Monro 1951): up if the base
model generated more than its share or the answer took too long, else down. So it adapts to the text, the machine and
the pair of models.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .switching import SwitchRule

STEP_BITS = 0.2  # for an answer that misses its goal by 100 %
MAX_BITS = 20.0  # more than the entropy of any vocabulary


@dataclass
class Threshold:
    """The present rule and at most one goal: the base model's `share` of the tokens, or the time of an answer."""

    rule: SwitchRule
    share: float | None = None
    within_ms: float | None = None

    def note(self, n_by_base: int, n_tokens: int, elapsed_ms: float) -> None:
        """Learns from an answer."""
        if n_tokens == 0:
            return
        if self.share is not None:
            off = min(1.0, n_by_base / n_tokens) - self.share
        elif self.within_ms is not None:
            off = min(1.0, elapsed_ms / self.within_ms - 1.0)
        else:
            return
        entropy_threshold = self.rule.entropy_threshold + STEP_BITS * off
        self.rule = replace(self.rule, entropy_threshold=min(MAX_BITS, max(0.0, entropy_threshold)))
