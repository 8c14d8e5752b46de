"""Drafts of a small model for a base model to verify, where nothing can be copied.

Source: Huang et al. 2024, SpecDec++ (arXiv:2405.19715): stop where the chance that one of the drafted tokens is refused
reaches (c2 + slack) / (c1 + c2 + slack), c1 being what one more drafted token costs and c2 what a pass of the base
model costs more than one of the small. The slack is 0 here. Their predictor is a trained head; ours is the small
model's own probability of a token, read through how often tokens of such a probability were taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from .draft_costs import LONGEST_DRAFT, AcceptanceRates, DraftCostModel
from .drafts import NOTHING_DRAFTED, Draft, Drafter

N_CELLS = 10  # of the small model's probability, equally wide


def _start_rates() -> AcceptanceRates:
    return AcceptanceRates([(cell + 0.5) / N_CELLS for cell in range(N_CELLS)])


@dataclass
class DraftModelStats:
    """How often a base model takes what its small one drafts, and what passes of both cost. Kept while a pair serves.

    `size_ratio` is what a pass of the small model reads over what one of the base model does: how their costs compare
    before both are timed.
    """

    size_ratio: float
    rates: AcceptanceRates = field(default_factory=_start_rates)

    def min_acceptance(self, small: DraftCostModel, base: DraftCostModel) -> float:
        """How likely it must be that all drafted tokens are taken, for one more to pay; above 1 where none does."""
        ratio = self.size_ratio
        if small.pass_s is not None and base.pass_s is not None:
            ratio = small.pass_s / base.pass_s
        draft, verify = ratio + base.row_cost, 1 - ratio  # in passes of the base model
        return draft / (draft + verify) if draft < 1 else 2.0


def draft_with_model(
    expected: Callable[[Sequence[int]], Tensor],
    copied: Drafter,
    draft_stats: DraftModelStats,
    small: DraftCostModel,
    base: DraftCostModel,
) -> Drafter:
    """A drafter that copies where it can, and asks the small model where it cannot.

    `expected` gives the small model's log-probabilities behind tokens, -inf for what may not be said. Shape: [V].
    """

    def draft(generated: Sequence[int]) -> Draft:
        found = copied(generated)
        least = draft_stats.min_acceptance(small, base)
        if found.tokens or least > 1:
            return found
        tokens, cells, joint = list[int](), list[int](), 1.0
        while len(tokens) < LONGEST_DRAFT:
            logprob, token = expected([*generated, *tokens]).max(0)
            cell = min(N_CELLS - 1, int(float(logprob.exp()) * N_CELLS))
            joint *= draft_stats.rates.rate(cell)
            if joint <= least:
                break
            tokens.append(int(token))
            cells.append(cell)
        if not tokens:
            return NOTHING_DRAFTED
        return Draft(
            tokens, 0, lambda number, is_taken: draft_stats.rates.note(cells[number], is_taken)
        )

    return draft
