"""Switching against the rule read off a list of entropies, one token after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.toy_models import Voice
from warmline_engine.decoding.logit_statistics import statistics_of
from warmline_engine.decoding.two_models.switching import Switching, SwitchRule

RULES = st.builds(
    SwitchRule,
    entropy_threshold=st.integers(0, 5000).map(
        lambda n: n / 833 + 1e-4
    ),  # no mean of whole numbers, nor as near as float32 is to one
    window=st.integers(1, 6),
    min_run=st.integers(1, 12),
)


def by_the_rule(
    rule: SwitchRule, small: Sequence[float], base: Sequence[float]
) -> tuple[list[bool], int]:
    """Who says each token and how many switches there were: all means made anew."""
    active, spoken, entropies, n_since, n_switches = False, list[bool](), list[float](), 0, 0
    for number, both in enumerate(zip(small, base, strict=True)):
        entropies.append(both[active])
        recent = entropies[-rule.window :]
        may_switch = n_switches == 0 or n_since >= rule.min_run
        wanted = sum(recent) / len(recent) > rule.entropy_threshold
        if may_switch and wanted != active:
            active, n_since, n_switches = wanted, 0, n_switches + 1
            entropies = [both[active]]
        n_since += 1
        spoken.append(active)
        assert number + 1 == len(spoken)
    return spoken, n_switches


@settings(deadline=None)
@given(rule=RULES, bits=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40))
def test_who_speaks_is_what_the_rule_says(rule: SwitchRule, bits: list[tuple[int, int]]) -> None:
    small, base = ([float(pair[k]) for pair in bits] for k in (0, 1))
    models = Voice(small), Voice(base)
    switching, spoken = Switching(*models, rule), list[bool]()
    for number in range(len(bits)):
        switching.logits([0] * number)
        spoken.append(switching.is_base)
    expected, n_switches = by_the_rule(rule, small, base)
    assert spoken == expected
    assert (switching.n_by_base, switching.n_switches) == (sum(expected), n_switches)
    # who does not speak is only asked at a switch
    assert len(models[0].asked) + len(models[1].asked) == len(bits) + n_switches


def test_the_ends_of_the_threshold_are_one_model_alone() -> None:
    bits = [float(k % 7) for k in range(30)]
    for entropy_threshold, base_generates in ((math.inf, False), (-1.0, True)):
        models = Voice(bits), Voice(bits)
        switching = Switching(*models, SwitchRule(entropy_threshold, 5, 1))
        for number in range(30):
            switching.logits([0] * number)
        assert switching.n_by_base == 30 * base_generates
        # to switch at the first token, the small model's entropy is needed there
        assert models[not base_generates].asked == ([0] if base_generates else [])


@pytest.mark.parametrize("n", [1, 2, 8, 64])
def test_entropy_is_in_bits_and_nothing_is_added_by_what_cannot_be(n: int) -> None:
    logits = torch.full((64,), float("-inf"))
    logits[:n] = 3.0
    assert statistics_of(logits).entropy_bits == pytest.approx(math.log2(n), abs=1e-5)
