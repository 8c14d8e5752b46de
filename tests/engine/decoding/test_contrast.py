"""Contrast against its formulas, token by token."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from warmline_engine.decoding.contrast import ContrastRule, contrasted, is_uncertain

LOGITS = st.lists(st.floats(-6, 6), min_size=4, max_size=4).map(torch.tensor)


def by_hand(
    logits: Tensor, negative_logits: Tensor, rule: ContrastRule
) -> tuple[list[float], float]:
    """Probabilities, and the sum that they were divided by."""
    p, q = (torch.softmax(of, 0).tolist() for of in (logits, negative_logits))
    scores: list[float] = []
    for a, b in zip(p, q, strict=True):
        score = a / b**rule.strength if rule.form == "ratio" else max(0.0, a - rule.strength * b)
        scores.append(score if a >= rule.plausible * max(p) else 0.0)
    total = sum(scores)
    return [score / total for score in scores] if total else p, total


@pytest.mark.parametrize("form", ["difference", "ratio"])
@settings(deadline=None)
@given(logits=LOGITS, negative_logits=LOGITS, strength=st.floats(0, 1), plausible=st.floats(0, 0.9))
def test_contrast_is_the_formula(
    form: str, logits: Tensor, negative_logits: Tensor, strength: float, plausible: float
) -> None:
    rule = ContrastRule("ratio" if form == "ratio" else "difference", 1.0, strength, plausible)
    found = contrasted(logits, negative_logits, rule).softmax(0)
    # of what nearly cancels the rounding is left, and sharing it out makes it large
    least = 1e-3 if form == "difference" else 0.0
    expected, total = by_hand(logits, negative_logits, rule)
    assume(total == 0 or total > least)
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=0)


def test_what_is_said_anyway_loses_to_what_the_context_says() -> None:
    logits, negative_logits = torch.tensor([2.0, 1.9, 0.0]), torch.tensor([3.0, 0.0, 0.0])
    for form in ("difference", "ratio"):
        rule = ContrastRule("ratio" if form == "ratio" else "difference")
        assert int(contrasted(logits, negative_logits, rule).argmax()) == 1
    assert int(contrasted(logits, logits, ContrastRule()).argmax()) == 0


@settings(deadline=None)
@given(n=st.integers(1, 64), spread=st.integers(64, 50_000))
def test_uncertainty_is_the_same_on_any_vocabulary(n: int, spread: int) -> None:
    """Evenly over n tokens: 1 / n, whatever cannot be beside them."""
    logits = torch.full((spread,), float("-inf"))
    logits[:n] = 0.0
    assert is_uncertain(logits, ContrastRule(below=0.39)) == (1 / n < 0.39)
    assert math.isfinite(float(contrasted(logits, logits, ContrastRule()).max()))
