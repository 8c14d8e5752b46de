"""Measures and statistics against cases counted by hand and slow twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from warmline_lab.metrics import measures
from warmline_lab.tables.confidence_intervals import mcnemar, ratio_interval


@pytest.mark.parametrize(
    ("offered", "truth", "exact", "similarity"),
    [
        ("a = 1", "a = 1", True, 100),
        ("a  =\t1 ", "a = 1", True, 67),  # in common are a, blank, =, 1: 2 * 4 / 12
        ("a=1", "a = 1", False, 75),  # 2 * 3 / 8
        ("", "abc", False, 0),
        ("", "", True, 100),
        ("abcd", "acbd", False, 75),  # 2 * 3 / 8
    ],
)
def test_exact_and_similarity(offered: str, truth: str, exact: bool, similarity: int) -> None:
    assert measures.is_exact(offered, truth) == exact
    assert measures.edit_similarity(offered, truth) == similarity


def slow_common(a: str, b: str) -> int:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            longest = max(table[i][j + 1], table[i + 1][j])
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else longest
    return table[-1][-1]


@given(st.text("abc ", max_size=70), st.text("abc ", max_size=70))
def test_longest_common_subsequence_equals_its_table(a: str, b: str) -> None:
    assert measures.longest_common_subsequence(a, b) == slow_common(a, b)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = 1\ny", "x = 1"),
        ("\n# no\n  y = 2", "  y = 2"),
        ('"""says\nmore"""\nz', "z"),
        ('"""all on one"""\nz', "z"),
        ("# only\n# comments", "# only"),
    ],
)
def test_first_code_line(text: str, line: str) -> None:
    assert measures.first_code_line(text) == line


def test_nats_divergence_and_agreement_by_hand() -> None:
    p = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    q = torch.tensor([[0.25, 0.5, 0.25], [0.1, 0.8, 0.1]])
    assert measures.nats(p.log(), [0, 1]) == pytest.approx(math.log(2) + math.log(1.25), abs=1e-6)
    by_hand = (0.5 * math.log(2) + 0.25 * math.log(0.5)) / 2
    assert measures.divergence(p.log(), q.log()) == pytest.approx(by_hand, abs=1e-6)
    assert measures.agreement(p.log(), q.log()) == 0.5


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    assert mcnemar(1, 4) == pytest.approx(2 * (1 + 5) / 32)


def test_an_interval_is_of_groups_and_of_the_ratio_of_sums() -> None:
    above, below = np.array([1.0, 3.0, 2.0]), np.array([1.0, 1.0, 2.0])
    found = ratio_interval(above, below, ["a", "a", "b"])
    assert found.mean == 1.5
    assert (found.low, found.high) == (1.0, 2.0)  # twice b, twice a
    alone = ratio_interval(above, below, ["a", "a", "a"])
    assert alone.low == alone.high == 1.5
