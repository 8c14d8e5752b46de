"""Contrast: if a model is uncertain, its prediction without the attached chunks is subtracted from that with them.

The negative logits ("lame" in the paper) are those of the same text without attached chunks. They are computed only
when needed.

Source: Wang et al. 2024, USCD (arXiv:2409.05923). Their measure of uncertainty, the standard deviation of all
probabilities, depends on the size of the vocabulary; we use the sum of squares. The paper defines a ratio of
probabilities, its code a difference; both are here. The set of plausible tokens is that of Li et al. 2022, contrastive
decoding (arXiv:2210.15097), because theirs excludes hardly any token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .logit_statistics import kernels_on, statistics_of


@dataclass(frozen=True)
class ContrastRule:
    """Contrast among the plausible tokens, if the sum of squared probabilities is less than `below`.

    `strength` scales the negative distribution that is subtracted. A token is plausible if it has at least the share
    `plausible` of the likeliest token's probability.
    """

    form: Literal["difference", "ratio"] = "difference"
    below: float = 0.39
    strength: float = 0.7
    plausible: float = 0.1


# by their names in the settings
RULES = {"difference": ContrastRule("difference"), "ratio": ContrastRule("ratio", strength=0.3)}


def is_uncertain(logits: Tensor, rule: ContrastRule) -> bool:
    """Whether contrast applies. Shape: [V]."""
    return statistics_of(logits).squares < rule.below


def contrasted(logits: Tensor, negative_logits: Tensor, rule: ContrastRule) -> Tensor:
    """Log-probabilities after the contrast, or the logits if it leaves no token. Shapes: [V], [V] → [V] float32."""
    kernels = kernels_on(logits.device)
    numbers = kernels.statistics(logits), kernels.statistics(negative_logits)
    is_ratio = rule.form == "ratio"
    scores = kernels.contrasted(
        logits, negative_logits, *numbers, is_ratio, rule.strength, rule.plausible
    )
    if not bool(torch.isfinite(scores).any()):
        return logits
    return scores.log_softmax(0)
