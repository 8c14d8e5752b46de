"""Drafts: tokens copied from text, for the model to verify, and how long a draft pays.

A draft is copied from where the last tokens occur elsewhere: in text that was just deleted, in the file, in other open
files. Looking that up at each token is an n-gram table of any order that backs off to the longest one known, forgets
deleted text, and declines without evidence. Acceptance rates and costs are learnt while the engine serves, from start
values, because they differ from file to file and from machine to machine.

Sources: Yang et al. 2023, "Inference with Reference" (arXiv:2304.04487); Liu et al. 2024, ADED (arXiv:2407.12021);
Huang et al. 2024, SpecDec++ (arXiv:2405.19715): draft while another token is worth more than it costs. There the cost
is a pass of a small model, as in `model_drafts.py`; for copied tokens it is a row of the pass that verifies them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from warmline_engine.decoding.ngram.suffix_match import (
    BORDER,
    LONGEST,
    SuffixMatch,
    SuffixMatcher,
)

LONGEST_DRAFT = 8  # more rows would take the slower way through attention
# by the number of agreeing tokens, the last for all above (docs/decisions/0009-copied-drafts.md)
START_RATES = (0.26, 0.48, 0.71, 0.82, 0.87)
START_WEIGHT = 30.0  # trials that a start value counts as
MAX_TRIALS = 400.0  # older ones count less and less
START_ROW_COST = 0.22  # of one more row, as a share of a pass
MIN_ROW_COST, MAX_ROW_COST = 0.02, 1.0
NEW_SHARE = 0.05  # weight of a new measurement in the mean


def _learn_nothing(_number: int, _is_taken: bool) -> None: ...


@dataclass(frozen=True)
class Draft:
    """Tokens that probably follow, and how many tokens before them agree with their source.

    `learn` is called for each in turn, with its number and whether the model took it.
    """

    tokens: list[int]
    n_agreeing: int = 0
    learn: Callable[[int, bool], None] = field(default=_learn_nothing, compare=False)


NOTHING_DRAFTED = Draft([])
Drafter = Callable[[Sequence[int]], Draft]


@dataclass(frozen=True, eq=False)
class PromptLookup:
    """A drafter that copies what followed the longest agreement, of equal ones that of the first source.

    Within a source it is the one nearest before the cursor.
    """

    sources: Sequence[SuffixMatcher]
    draft_costs: DraftCostModel

    def __call__(self, generated: Sequence[int]) -> Draft:
        best: SuffixMatch | None = None
        for source in self.sources:
            found = source.agreement(generated)
            if found is not None and (best is None or best.n_agreeing < found.n_agreeing):
                best = found
        if best is None:
            return NOTHING_DRAFTED
        draft_costs, n_agreeing, start = self.draft_costs, best.n_agreeing, int(best.following[-1])
        run = best.tokens[start : start + draft_costs.length(n_agreeing)].tolist()

        def learn(number: int, is_taken: bool) -> None:
            draft_costs.note(n_agreeing + number, is_taken)

        return Draft(run[: run.index(BORDER)] if BORDER in run else run, n_agreeing, learn)


class AcceptanceRates:
    """How often drafted tokens are taken, learnt separately for each cell."""

    def __init__(self, start: Sequence[float]) -> None:
        self._tried = np.full(len(start), START_WEIGHT)
        self._taken = START_WEIGHT * np.array(start)

    def rate(self, cell: int) -> float:
        return float(self._taken[cell] / self._tried[cell])

    def note(self, cell: int, is_taken: bool) -> None:
        """Counts a drafted token."""
        self._tried[cell] += 1
        self._taken[cell] += is_taken
        if self._tried[cell] > MAX_TRIALS:
            self._tried[cell] /= 2
            self._taken[cell] /= 2


class DraftCostModel:
    """Acceptance rates and row costs learnt for one model."""

    def __init__(self) -> None:
        last = len(START_RATES) - 1
        self._rates = AcceptanceRates([START_RATES[min(n, last)] for n in range(LONGEST)])
        self.row_cost = START_ROW_COST
        self.pass_s: float | None = None  # of one row, None until one was timed

    def rate(self, n_agreeing: int) -> float:
        """How often a copied token is taken after so many agreeing ones."""
        return self._rates.rate(min(n_agreeing, LONGEST) - 1)

    def note(self, n_agreeing: int, is_taken: bool) -> None:
        """Counts a copied token."""
        self._rates.note(min(n_agreeing, LONGEST) - 1, is_taken)

    def note_pass(self, elapsed_s: float) -> None:
        """Learns the time of a pass of one row."""
        known = elapsed_s if self.pass_s is None else self.pass_s
        self.pass_s = known + NEW_SHARE * (elapsed_s - known)

    def note_cost(self, one_row_s: float, n_rows: int, many_rows_s: float) -> None:
        """Learns the cost of a row from the times of two passes after the same context."""
        cost = (many_rows_s / one_row_s - 1) / (n_rows - 1)
        cost = min(MAX_ROW_COST, max(MIN_ROW_COST, cost))
        self.row_cost += NEW_SHARE * (cost - self.row_cost)

    def length(self, n_agreeing: int) -> int:
        """How many tokens to draft after so many agreeing ones: each that is taken makes one more agree."""
        n_tokens, likely = 0, self.rate(n_agreeing)
        while n_tokens < LONGEST_DRAFT and likely > self.row_cost:
            n_tokens += 1
            likely *= self.rate(n_agreeing + n_tokens)
        return n_tokens
