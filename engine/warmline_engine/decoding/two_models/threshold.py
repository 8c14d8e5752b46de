"""The threshold of switching, which may be fitted to a goal while the pair serves.

After each answer it moves by how far the answer was off (stochastic approximation, Robbins and Monro 1951): up where
the base model said more than its share or the answer took longer than it may, else down. So it follows what is
being written and how fast the machine is, and no entropies of one pair of models are built in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .switching import SwitchRule

STEP_BITS = 0.2  # for an answer that was off by the whole of its goal
MAX_BITS = 20.0  # more than a vocabulary can be uncertain about


@dataclass
class Threshold:
    """A rule as it stands; `share` is of the tokens, by the base model, `within_ms` is for an answer. One at most."""

    rule: SwitchRule
    share: float | None = None
    within_ms: float | None = None

    def note(self, n_by_base: int, n_tokens: int, elapsed_ms: float) -> None:
        """Takes notice of an answer."""
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
