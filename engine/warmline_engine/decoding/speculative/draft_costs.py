"""What drafting pays: how often a drafted token is the model's own, and what one more row of a pass costs.

Both are learnt while the engine serves, from start values: they differ from file to file and from machine to machine.

Source of the rule for the length: Huang et al. 2024, SpecDec++ (arXiv:2405.19715): draft on while that is worth more
than it costs. There a draft costs passes of a small model, as in `small_drafts.py`; copied ones cost rows of the pass
that verifies them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from warmline_engine.decoding.ngram.suffix_match import LONGEST

LONGEST_DRAFT = 8  # more rows than this would take the slower way through attention
# by how many tokens agree, the last for all above: lab/benchmarks/drafts.py on real releases, small model
START_RATES = (0.26, 0.48, 0.71, 0.82, 0.87)
START_WEIGHT = 30.0  # trials that a start value counts as
MAX_TRIALS = 400.0  # what is older counts less and less
# a row more against a pass, as learnt behind some 4,000 tokens with our kernels: `base`, one thread of a Xeon with AMX
START_ROW_COST = 0.22
MIN_ROW_COST, MAX_ROW_COST = 0.02, 1.0
NEW_SHARE = 0.05  # of a cost just measured in the mean


class AcceptanceRates:
    """How often what was drafted is taken, in cells that are learnt apart, each from a start value."""

    def __init__(self, start: Sequence[float]) -> None:
        self._tried = np.full(len(start), START_WEIGHT)
        self._taken = START_WEIGHT * np.array(start)

    def rate(self, cell: int) -> float:
        return float(self._taken[cell] / self._tried[cell])

    def note(self, cell: int, is_taken: bool) -> None:
        """Takes notice of a drafted token's end."""
        self._tried[cell] += 1
        self._taken[cell] += is_taken
        if self._tried[cell] > MAX_TRIALS:
            self._tried[cell] /= 2
            self._taken[cell] /= 2


class DraftCostModel:
    """Rates of acceptance and the cost of a row, as they are known so far of one model."""

    def __init__(self) -> None:
        last = len(START_RATES) - 1
        self._rates = AcceptanceRates([START_RATES[min(n, last)] for n in range(LONGEST)])
        self.row_cost = START_ROW_COST
        self.pass_s: float | None = None  # of one row, as far as one was timed

    def rate(self, n_agreeing: int) -> float:
        """How often a copied token is taken where so many agree."""
        return self._rates.rate(min(n_agreeing, LONGEST) - 1)

    def note(self, n_agreeing: int, is_taken: bool) -> None:
        """Takes notice of a copied token's end."""
        self._rates.note(min(n_agreeing, LONGEST) - 1, is_taken)

    def note_pass(self, elapsed_s: float) -> None:
        """Takes notice of what a pass of one row took."""
        known = elapsed_s if self.pass_s is None else self.pass_s
        self.pass_s = known + NEW_SHARE * (elapsed_s - known)

    def note_cost(self, one_row_s: float, n_rows: int, many_rows_s: float) -> None:
        """Takes notice of what two passes behind the same context took."""
        cost = (many_rows_s / one_row_s - 1) / (n_rows - 1)
        cost = min(MAX_ROW_COST, max(MIN_ROW_COST, cost))
        self.row_cost += NEW_SHARE * (cost - self.row_cost)

    def length(self, n_agreeing: int) -> int:
        """How many tokens to draft where so many agree: each that is taken makes one more agree."""
        n_tokens, likely = 0, self.rate(n_agreeing)
        while n_tokens < LONGEST_DRAFT and likely > self.row_cost:
            n_tokens += 1
            likely *= self.rate(n_agreeing + n_tokens)
        return n_tokens
