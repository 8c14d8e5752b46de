"""Sampling against the distributions it is drawn from, with and without drafts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.toy_models import N_TOKENS, Counted, logits_of
from warmline_engine.decoding.sampling import Sampler, SamplingRule
from warmline_engine.decoding.speculative.drafts import NOTHING_DRAFTED, Draft, DraftCostModel
from warmline_engine.decoding.speculative.speculation import Speculation

pytestmark = pytest.mark.slow

EVERYTHING = SamplingRule(temperature=1.0, top_p=1.0)
N_DRAWN = 4000


@pytest.mark.parametrize("drafted", [[], [1, 1], [4, 0, 2], [6]])
def test_drafts_leave_the_distribution_as_it_is(drafted: list[int]) -> None:
    """All pairs of tokens behind a context, against their exact probabilities: chi-squared, 48 degrees."""
    context = [3, 1]
    sampler, draft_costs = Sampler(EVERYTHING, 1), DraftCostModel()
    first = logits_of(context)
    counts = np.zeros((N_TOKENS, N_TOKENS))
    for _ in range(N_DRAWN):
        draft = Draft(drafted) if drafted else NOTHING_DRAFTED
        speculation = Speculation(Counted(context), lambda taken, d=draft: d, draft_costs)
        one = sampler(speculation.logits(()).log_softmax(0))
        two = sampler(speculation.logits([one]).log_softmax(0))
        speculation.logits([one, two])
        counts[one, two] += 1
    exact = np.zeros_like(counts)
    for one, two in itertools.product(range(N_TOKENS), repeat=2):
        behind = logits_of([*context, one]).softmax(0)
        exact[one, two] = float(first.softmax(0)[one] * behind[two]) * N_DRAWN
    chi_squared = float(((counts - exact) ** 2 / exact).sum())
    assert chi_squared < 86.0, "once in 1,000 by chance"


@settings(deadline=None)
@given(
    logits=st.lists(st.floats(-5, 5), min_size=2, max_size=9), top_p=st.floats(0.05, 1), seed=st.integers(0, 99)
)  # fmt: skip
def test_only_the_likeliest_are_drawn(logits: list[float], top_p: float, seed: int) -> None:
    logprobs = torch.tensor([*logits, float("-inf")]).log_softmax(0)
    token = Sampler(SamplingRule(1.0, top_p), seed)(logprobs)
    likelier = float(logprobs[logprobs > logprobs[token]].exp().sum())
    assert likelier < top_p + 1e-5
    assert math.isfinite(float(logprobs[token]))
    assert Sampler(SamplingRule(1.0, top_p), seed)(logprobs) == token, "the same for the same seed"


def test_mirostat_keeps_to_its_surprise() -> None:
    """On a distribution whose tail would surprise more, and whose head alone less."""
    ranks = torch.arange(1, 2001).float()
    logprobs = (-1.1 * ranks.log()).log_softmax(0)
    for wanted in (2.0, 4.0):
        sampler, total = Sampler(SamplingRule(1.0, surprise=wanted), 0), 0.0
        drawn = [sampler(logprobs) for _ in range(600)][100:]
        # its own measure: within what is allowed at the time; the raw one is near it
        total = -float(logprobs[torch.tensor(drawn)].mean()) / math.log(2)
        assert wanted < total < wanted + 2.2
    plain = Sampler(EVERYTHING, 0)
    raw = [plain(logprobs) for _ in range(500)]
    assert -float(logprobs[torch.tensor(raw)].mean()) / math.log(2) > 6.5
