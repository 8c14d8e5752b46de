"""Recall against a plain search."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from warmline_engine.decoding.ngram.recall import (
    CERTAINTY_BOUNDS,
    N_CERTAINTIES,
    Recall,
    Shares,
    certainty_of,
)
from warmline_engine.decoding.ngram.suffix_match import LONGEST, SuffixMatcher
from warmline_engine.errors import ModelError

N_TOKENS = 6
BARRED = torch.tensor([False] * (N_TOKENS - 1) + [True])
HALF = Shares(np.full((LONGEST, N_CERTAINTIES), 0.5))
RUNS = st.lists(st.integers(0, N_TOKENS - 1), max_size=30)


def plain_find(
    prefix: list[int], suffix: list[int], generated: list[int]
) -> tuple[int, Counter[int]] | None:
    """The same by trying every length at every place."""
    run = prefix + generated
    best = None
    for n in range(1, min(LONGEST, len(run)) + 1):
        followers = Counter(
            text[k]
            for text in (run, suffix)
            for k in range(n, len(text))
            if text[k - n : k] == run[-n:] and not BARRED[text[k]]
        )
        if followers:
            best = n, followers
    return best


@given(prefix=RUNS, suffix=RUNS, generated=RUNS)
def test_finding_equals_a_plain_search(
    prefix: list[int], suffix: list[int], generated: list[int]
) -> None:
    found = Recall(HALF, SuffixMatcher(prefix, suffix, BARRED)).find(generated)
    expected = plain_find(prefix, suffix, generated)
    if expected is None or found is None:
        assert found is None
        assert expected is None
        return
    n_agreeing, followers = expected
    assert found.n_agreeing == n_agreeing
    assert found.ids.tolist() == sorted(followers)
    shares = [followers[token] / followers.total() for token in sorted(followers)]
    assert found.probabilities.tolist() == pytest.approx(shares)


@given(prefix=RUNS, seed=st.integers(0, 99))
def test_a_mixture_is_a_distribution(prefix: list[int], seed: int) -> None:
    logits = torch.randn(N_TOKENS, generator=torch.Generator().manual_seed(seed))
    mixed = Recall(HALF, SuffixMatcher(prefix, [], BARRED)).mix(logits, [])
    assert float(mixed.exp().sum()) == pytest.approx(1.0) or torch.equal(mixed, logits)


def test_a_share_of_nothing_changes_no_bit() -> None:
    logits = torch.randn(N_TOKENS)
    none = Shares(np.zeros((LONGEST, N_CERTAINTIES)))
    assert Recall(none, SuffixMatcher([1, 2, 1], [], BARRED)).mix(logits, []) is logits


def test_what_followed_becomes_likelier() -> None:
    mixed = Recall(HALF, SuffixMatcher([3, 1, 2, 4, 1], [], BARRED)).mix(torch.zeros(N_TOKENS), [])
    assert float(mixed.exp()[2]) == pytest.approx(0.5 + 0.5 / N_TOKENS)


def test_certainties_are_told_apart() -> None:
    assert certainty_of(torch.full((1000,), 1e-3)) == 0
    assert certainty_of(torch.tensor([1.0, 0.0])) == N_CERTAINTIES - 1
    edge = CERTAINTY_BOUNDS[1]
    assert certainty_of(torch.tensor([edge**0.5 * 1.01])) == 2


def test_shares_come_back_from_disk(tmp_path: Path) -> None:
    HALF.write(tmp_path / "recall.json")
    read = Shares.read(tmp_path / "recall.json")
    assert read is not None
    assert np.array_equal(read.table, HALF.table)
    assert Shares.read(tmp_path / "none.json") is None


@pytest.mark.parametrize("text", ["[]", "{", '{"shares": [[0.1]]}', '{"shares": "x"}'])
def test_other_shares_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "recall.json").write_text(text)
    with pytest.raises(ModelError, match=r"expected|cannot be read"):
        Shares.read(tmp_path / "recall.json")
