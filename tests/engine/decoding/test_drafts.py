"""Speculation against adding one token at a time, and drafts against what the text says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.support.toy_models import N_TOKENS, Counted, logits_of
from warmline_engine.decoding.ngram.suffix_match import SuffixMatcher
from warmline_engine.decoding.speculative.drafts import (
    LONGEST_DRAFT,
    Draft,
    DraftCostModel,
    PromptLookup,
)
from warmline_engine.decoding.speculative.speculation import Speculation

NOTHING_BARRED = torch.zeros(N_TOKENS, dtype=torch.bool)
RUNS = st.lists(st.integers(0, N_TOKENS - 1), max_size=40)


@given(context=RUNS, taken=RUNS, drafts=st.lists(RUNS, min_size=41, max_size=41))
def test_any_drafts_give_the_logits_of_one_token_at_a_time(
    context: list[int], taken: list[int], drafts: list[list[int]]
) -> None:
    sequence = Counted(context)
    draft_costs = DraftCostModel()
    speculation = Speculation(
        sequence, lambda so_far: Draft(drafts[len(so_far) - 1], 1), draft_costs, logits_of(context)
    )
    for n in range(1, len(taken) + 1):
        assert torch.equal(speculation.logits(taken[:n]), logits_of([*context, *taken[:n]]))
    speculation.close()
    assert sequence.tokens == [*context, *taken]


@given(context=RUNS, asked=st.lists(RUNS, max_size=8), draft=RUNS)
def test_any_tokens_may_be_asked_for_one_after_the_other(
    context: list[int], asked: list[list[int]], draft: list[int]
) -> None:
    """As a model does that follows another one, or is asked for another way to go on."""
    context = [0, *context]
    sequence = Counted(context)
    draft_costs = DraftCostModel()
    speculation = Speculation(sequence, lambda so_far: Draft(draft), draft_costs)
    for tokens in asked:
        assert torch.equal(speculation.logits(tokens), logits_of([*context, *tokens]))
        passes = speculation.n_passes
        speculation.logits(tokens)
        assert speculation.n_passes == passes, "what is known is not read again"
    speculation.close()
    assert sequence.tokens == [*context, *(asked[-1] if asked else [])]


@given(context=RUNS, suffix=RUNS, n=st.integers(1, 20))
def test_greedy_with_drafts_is_greedy_without(
    context: list[int], suffix: list[int], n: int
) -> None:
    plain = Counted([*context, 0])
    for _ in range(n):
        plain.extend([int(logits_of(plain.tokens).argmax())])
    sequence = Counted([*context, 0])
    matcher = SuffixMatcher([*context, 0], suffix, NOTHING_BARRED)
    draft_costs = DraftCostModel()
    speculation = Speculation(sequence, PromptLookup([matcher], draft_costs), draft_costs)
    logits = speculation.logits(())
    for _ in range(n):
        logits = speculation.logits([*speculation.taken, int(logits.argmax())])
    speculation.close()
    assert sequence.tokens == plain.tokens


def test_text_that_repeats_takes_few_passes() -> None:
    line = [1, 2, 3, 4, 5, 6]
    matcher = SuffixMatcher([*line, 0, *line, 0], [], NOTHING_BARRED)
    draft_costs = DraftCostModel()
    speculation = Speculation(
        Counted([]), PromptLookup([matcher], draft_costs), draft_costs, first=torch.zeros(N_TOKENS)
    )
    for token in line:
        speculation.logits([*speculation.taken, token])
    assert speculation.n_passes <= 2


@pytest.mark.parametrize(
    ("prefix", "suffix", "generated", "expected"),
    [
        ([1, 2, 3, 0, 1, 2], [], [], [3, 0, 1, 2]),
        ([1, 2, 3, 0, 1, 2, 4, 0, 1], [], [2], [4, 0, 1, 2]),  # the nearest place before the cursor
        ([0, 1], [1, 2, 3], [], [2, 3]),  # what stands behind the cursor, up to its end
        ([1, 2], [3, 4], [], []),
        ([], [], [], []),
    ],
)
def test_drafts_are_copied(
    prefix: list[int], suffix: list[int], generated: list[int], expected: list[int]
) -> None:
    draft = PromptLookup([SuffixMatcher(prefix, suffix, NOTHING_BARRED)], DraftCostModel())(
        generated
    ).tokens
    assert draft == expected[: len(draft)]
    assert bool(draft) == bool(expected)


def test_the_longest_agreement_is_copied_and_of_equal_ones_the_first_source() -> None:
    short, long = (
        SuffixMatcher([1, 2], [0, 2, 3], NOTHING_BARRED),
        SuffixMatcher([1, 2], [1, 2, 4], NOTHING_BARRED),
    )
    other = SuffixMatcher([1, 2], [1, 2, 5], NOTHING_BARRED)
    draft = PromptLookup([short, long, other], DraftCostModel())([])
    assert (draft.tokens[:1], draft.n_agreeing) == ([4], 2)
    assert PromptLookup([other, long], DraftCostModel())([]).tokens[:1] == [5]


def test_longer_agreement_makes_longer_drafts() -> None:
    draft_costs = DraftCostModel()
    lengths = [draft_costs.length(n) for n in range(1, 13)]
    assert lengths == sorted(lengths)
    assert lengths[0] > 0
    assert lengths[-1] <= LONGEST_DRAFT


def test_rates_and_costs_are_learnt() -> None:
    draft_costs = DraftCostModel()
    for _ in range(2000):
        draft_costs.note(3, is_taken=False)
    assert draft_costs.rate(3) < 0.05
    assert draft_costs.rate(4) > 0.5, "other cells stay as they are"
    assert draft_costs.length(3) == 0
    for _ in range(100):
        draft_costs.note(3, is_taken=True)
    assert draft_costs.rate(3) > 0.2, "what is long ago counts little"
    # three rows more for as much as half a pass
    for _ in range(500):
        draft_costs.note_cost(0.010, 4, 0.015)
    assert abs(draft_costs.row_cost - 1 / 6) < 0.01
    cheap = DraftCostModel()
    cheap.row_cost = 0.02
    dear = DraftCostModel()
    dear.row_cost = 0.6
    assert cheap.length(12) > dear.length(12) > 0


def test_speculation_tells_what_became_of_its_drafts() -> None:
    draft_costs = DraftCostModel()
    draft = Draft([1, 2, 3], 5, lambda number, is_taken: draft_costs.note(5 + number, is_taken))
    first = torch.zeros(N_TOKENS)
    speculation = Speculation(Counted([]), lambda so_far: draft, draft_costs, first)
    before = [draft_costs.rate(n) for n in (5, 6, 7)]
    for token in (0, 1, 6):  # the first drafted one is taken, the second is not
        speculation.logits([*speculation.taken, token])
    assert draft_costs.rate(5) > before[0]
    assert draft_costs.rate(6) < before[1]
    assert draft_costs.rate(7) == before[2]


def test_what_is_barred_is_not_drafted() -> None:
    suppressed_ids: Callable[[int], Tensor] = lambda token: torch.arange(N_TOKENS) == token  # noqa: E731
    assert (
        PromptLookup([SuffixMatcher([1, 2, 0, 1], [], suppressed_ids(2))], DraftCostModel())(
            []
        ).tokens
        == []
    )
