"""Contrast: where a model is uncertain, what it would say anyway is taken off what it says with its whole context.

The lame context is the same text without the pieces of other files that are bound. Its logits are made only where
they are needed.

Source: Wang et al. 2024, USCD (arXiv:2409.05923). Uncertainty there is the standard deviation of all probabilities,
whose scale depends on the vocabulary; the sum of their squares says the same on any. Drawn is a ratio of
probabilities, released is a difference; both are here. Their set of plausible tokens leaves out next to nothing: ours
is that of Li et al. 2022, contrastive decoding (arXiv:2210.15097).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .logit_statistics import kernels_on, statistics_of


@dataclass(frozen=True)
class ContrastRule:
    """Contrast where the sum of squared probabilities is under `below`, among tokens nearly as likely as the likeliest.

    `strength` is how much of the lame distribution is taken off, `plausible` the least share of the likeliest token's
    probability that a token must have.
    """

    form: Literal["difference", "ratio"] = "difference"
    below: float = 0.39
    strength: float = 0.7
    plausible: float = 0.1


# by the names that a setting gives them
RULES = {"difference": ContrastRule("difference"), "ratio": ContrastRule("ratio", strength=0.3)}


def is_uncertain(logits: Tensor, rule: ContrastRule) -> bool:
    """Whether the lame context is to be asked. Shape: [V]."""
    return statistics_of(logits).squares < rule.below


def contrasted(logits: Tensor, negative_logits: Tensor, rule: ContrastRule) -> Tensor:
    """Log-probabilities after the contrast, the logits where it leaves no token. Shapes: [V], [V] → [V] float32."""
    kernels = kernels_on(logits.device)
    numbers = kernels.statistics(logits), kernels.statistics(negative_logits)
    is_ratio = rule.form == "ratio"
    scores = kernels.contrasted(
        logits, negative_logits, *numbers, is_ratio, rule.strength, rule.plausible
    )
    if not bool(torch.isfinite(scores).any()):
        return logits
    return scores.log_softmax(0)
