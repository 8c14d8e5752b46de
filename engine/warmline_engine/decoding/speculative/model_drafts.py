"""Drafts of a small model for a base model to verify, when nothing can be copied.

Source: Huang et al. 2024, SpecDec++ (arXiv:2405.19715): stop when the probability that a drafted token is refused
reaches (c2 + slack) / (c1 + c2 + slack). c1 is the cost of another drafted token, c2 that of a pass of the base model
less that of a pass of the small one. The slack is 0 here. Their predictor is a trained head; ours is the small model's
probability of a token, calibrated by how often tokens of that probability were taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from .drafts import (
    LONGEST_DRAFT,
    NOTHING_DRAFTED,
    AcceptanceRates,
    Draft,
    DraftCostModel,
    Drafter,
)

N_CELLS = 10  # of the small model's probability, equally wide


def _start_rates() -> AcceptanceRates:
    return AcceptanceRates([(cell + 0.5) / N_CELLS for cell in range(N_CELLS)])


@dataclass
class DraftModelStats:
    """How often a base model takes drafts of its small model, and how their passes compare. Kept while a pair serves.

    `size_ratio` is the number of weights of the small model over that of the base model. It estimates the ratio of
    their times until both are measured.
    """

    size_ratio: float
    rates: AcceptanceRates = field(default_factory=_start_rates)

    def min_acceptance(self, small: DraftCostModel, base: DraftCostModel) -> float:
        """The joint acceptance probability from which another drafted token pays; above 1 if none does."""
        ratio = self.size_ratio
        if small.pass_s is not None and base.pass_s is not None:
            ratio = small.pass_s / base.pass_s
        draft, verify = ratio + base.row_cost, 1 - ratio  # in passes of the base model
        return draft / (draft + verify) if draft < 1 else 2.0


def draft_with_model(
    logprobs_after: Callable[[Sequence[int]], Tensor],
    copied: Drafter,
    draft_stats: DraftModelStats,
    small: DraftCostModel,
    base: DraftCostModel,
) -> Drafter:
    """A drafter that copies if it can, and decodes with the small model if it cannot.

    `logprobs_after` returns the small model's log-probabilities after tokens, -inf for suppressed ids. Shape: [V].
    """

    def draft(generated: Sequence[int]) -> Draft:
        found = copied(generated)
        min_joint = draft_stats.min_acceptance(small, base)
        if found.tokens or min_joint > 1:
            return found
        tokens, cells, joint = list[int](), list[int](), 1.0
        while len(tokens) < LONGEST_DRAFT:
            logprob, token = logprobs_after([*generated, *tokens]).max(0)
            cell = min(N_CELLS - 1, int(float(logprob.exp()) * N_CELLS))
            joint *= draft_stats.rates.rate(cell)
            if joint <= min_joint:
                break
            tokens.append(int(token))
            cells.append(cell)
        if not tokens:
            return NOTHING_DRAFTED
        return Draft(
            tokens, 0, lambda number, is_taken: draft_stats.rates.note(cells[number], is_taken)
        )

    return draft
