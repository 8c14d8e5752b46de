"""Drafts: what the text says comes next, for the model to verify.

A draft is copied from where the last tokens stand elsewhere: in text that was just taken away, in the file, in
other open files. Looking that up anew at each token is an n-gram table of any order that backs off to the longest
one known, forgets what an edit removes, and declines where there is no evidence.

Source: Yang et al. 2023, "Inference with Reference" (arXiv:2304.04487); Liu et al. 2024, ADED (arXiv:2407.12021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from warmline_engine.decoding.ngram.suffix_match import BORDER, SuffixMatch, SuffixMatcher

from .draft_costs import DraftCostModel


def _learn_nothing(_number: int, _is_taken: bool) -> None: ...


@dataclass(frozen=True)
class Draft:
    """Tokens that probably follow, and how many before them agree with where they were copied from.

    `learn` is told of each in turn, by its number, whether it was taken.
    """

    tokens: list[int]
    n_agreeing: int = 0
    learn: Callable[[int, bool], None] = field(default=_learn_nothing, compare=False)


NOTHING_DRAFTED = Draft([])
Drafter = Callable[[Sequence[int]], Draft]


def prompt_lookup(sources: Sequence[SuffixMatcher], draft_costs: DraftCostModel) -> Drafter:
    """A drafter that copies what followed the longest agreement, of equal ones that of the first source.

    Within a source it is the one nearest before the cursor.
    """

    def draft(generated: Sequence[int]) -> Draft:
        best: SuffixMatch | None = None
        for source in sources:
            found = source.agreement(generated)
            if found is not None and (best is None or best.n_agreeing < found.n_agreeing):
                best = found
        if best is None:
            return NOTHING_DRAFTED
        n_agreeing, start = best.n_agreeing, int(best.following[-1])
        run = best.tokens[start : start + draft_costs.length(n_agreeing)].tolist()

        def learn(number: int, is_taken: bool) -> None:
            draft_costs.note(n_agreeing + number, is_taken)

        return Draft(run[: run.index(BORDER)] if BORDER in run else run, n_agreeing, learn)

    return draft
