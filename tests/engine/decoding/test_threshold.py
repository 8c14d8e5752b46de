"""A fitted threshold reaches its goal, whatever the entropies are and wherever it begins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.toy_models import Voice
from warmline_engine.decoding.two_models.switching import Switching, SwitchRule
from warmline_engine.decoding.two_models.threshold import MAX_BITS, STEP_BITS, Threshold

pytestmark = pytest.mark.slow

N_TOKENS = 15


def answered(rule: SwitchRule, rng: np.random.Generator, scale: float) -> int:
    """Tokens by the base model in one answer; entropies are drawn from a gamma distribution."""
    bits = np.minimum(6, rng.gamma(1.5, scale, (2, N_TOKENS)))
    switching = Switching(Voice(bits[0].tolist()), Voice(bits[1].tolist()), rule)
    for number in range(N_TOKENS):
        switching.logits([0] * number)
    return switching.n_by_base


@settings(deadline=None, max_examples=examples(12))
@given(
    share=st.sampled_from([0.2, 0.4, 0.6]),
    begin=st.sampled_from([0.0, 1.0, 4.0]),
    scale=st.sampled_from([0.5, 1.5]),
    min_run=st.sampled_from([1, 4]),
)
def test_the_share_is_reached(share: float, begin: float, scale: float, min_run: int) -> None:
    threshold, rng = Threshold(SwitchRule(begin, 3, min_run), share=share), np.random.default_rng(3)
    by_base = list[int]()
    for _ in range(400):
        by_base.append(answered(threshold.rule, rng, scale))
        threshold.note(by_base[-1], N_TOKENS, 0.0)
    assert float(np.mean(by_base[200:])) / N_TOKENS == pytest.approx(share, abs=0.06)


def test_the_time_is_kept_where_it_can_be() -> None:
    threshold, rng = Threshold(SwitchRule(0.0, 3, 1), within_ms=100.0), np.random.default_rng(1)
    taken = list[float]()
    for _ in range(400):
        n = answered(threshold.rule, rng, 1.0)
        taken.append(4.0 * (N_TOKENS - n) + 12.0 * n)
        threshold.note(n, N_TOKENS, taken[-1])
    assert float(np.mean(taken[200:])) == pytest.approx(100.0, rel=0.06)


def test_a_goal_out_of_reach_ends_at_one_model_alone() -> None:
    for elapsed, end in ((1e6, MAX_BITS), (0.1, 0.0)):
        threshold = Threshold(SwitchRule(1.0), within_ms=10.0)
        for _ in range(int(MAX_BITS / STEP_BITS) + 1):
            threshold.note(3, 10, elapsed)
        assert threshold.rule == SwitchRule(end)


def test_without_a_goal_and_without_tokens_nothing_moves() -> None:
    for threshold, n_tokens in (
        (Threshold(SwitchRule(1.0)), 9),
        (Threshold(SwitchRule(1.0), 0.1), 0),
    ):
        threshold.note(n_tokens, n_tokens, 50.0)
        assert threshold.rule == SwitchRule(1.0)
