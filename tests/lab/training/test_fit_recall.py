"""The fit of recall's shares against data made with known ones."""

from __future__ import annotations

import numpy as np

from warmline_engine.decoding.ngram.recall import N_CERTAINTIES, Shares
from warmline_engine.decoding.ngram.suffix_match import LONGEST
from warmline_lab.data.samples import is_for_fitting
from warmline_lab.fit.fit_recall import Seen, fit, nats_a_token


def made(share: float, n: int) -> Seen:
    """Tokens of which recall says the whole with probability `share`, and the model a tenth always."""
    rng = np.random.default_rng(5)
    from_recall = rng.random(n) < share
    cell = np.full(n, 3), np.full(n, 1)
    return Seen(*cell, np.full(n, 0.1), np.where(from_recall, 1.0, 0.0))


def test_the_share_that_made_the_data_is_found() -> None:
    seen = made(0.7, 20_000)
    found = fit(seen).table[3, 1]
    # each token is recall's or the model's: the likeliest share solves d/dw [s log(w + .1(1-w)) + (1-s) log(.1(1-w))]
    assert abs(found - (0.7 - 0.1) / 0.9) < 0.02


def test_cells_without_data_are_not_believed() -> None:
    table = fit(made(0.7, 5000)).table
    assert table[0, 0] == 0.0
    assert np.count_nonzero(table) == 1


def test_no_other_share_is_better() -> None:
    seen = made(0.5, 5000)
    best = nats_a_token(seen, fit(seen))
    for share in np.linspace(0.05, 0.95, 19):
        table = np.full((LONGEST, N_CERTAINTIES), share)
        assert best <= nats_a_token(seen, Shares(table)) + 1e-3


def test_files_are_for_one_thing_or_the_other() -> None:
    sides = [is_for_fitting(f"package/module_{k}.py") for k in range(100)]
    assert 20 < sum(sides) < 80
