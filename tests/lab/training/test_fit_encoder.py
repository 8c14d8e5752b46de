"""What a fit learns of pairs made by hand, and which pairs a text has."""

from __future__ import annotations

import random

import numpy as np
import torch

from warmline_engine.model.hub.sources import EMBEDDED
from warmline_engine.retrieval.index.encoder import Bags
from warmline_engine.text.tokenizer import Tokenizer
from warmline_lab.data.neighbours import Neighbours
from warmline_lab.fit.fit_encoder import (
    Pair,
    fit,
    from_calls,
    from_docstrings,
    mean_reciprocal_rank,
    rarity,
)

BAGS = Bags(Tokenizer.load(EMBEDDED / "small"))
USER = "import store\n\n\ndef use(path):\n    opened = 1\n    return open_store(path)\n"
STORE = (
    'def open_store(path):\n    """Opens what is kept at a path.\n\n    More."""\n    return path\n'
)


def pairs(n: int, rng: np.random.Generator) -> list[Pair]:
    """Of 40 tokens those below 20 say which answer is meant, by number; the others are noise, and more of it."""
    found: list[Pair] = []
    for _ in range(n):
        said = rng.choice(20, 2, replace=False)
        noise = [rng.choice(np.arange(20, 40), 8, replace=False) for _ in range(2)]
        bags = [np.sort(np.concatenate([said, other])) for other in noise]
        found.append(Pair("p", *((bag, np.ones(len(bag), np.float32)) for bag in bags)))
    return found


def test_a_fit_learns_which_tokens_matter() -> None:
    rng = np.random.default_rng(0)
    embedded = torch.nn.functional.normalize(
        torch.randn(40, 24, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    learnt, judged = pairs(6000, rng), pairs(100, rng)
    model = fit(embedded, learnt, pairs(100, rng), 1, 16)
    weights = model.weights.detach()
    assert weights[:20].mean() > weights[20:].mean() + 0.5
    untrained = fit(embedded, learnt[:1], [], 1, 16)
    assert mean_reciprocal_rank(model, judged) > 1.5 * mean_reciprocal_rank(untrained, judged)


def test_the_same_seed_gives_the_same() -> None:
    embedded = torch.nn.functional.normalize(torch.ones(40, 24).cumsum(0), dim=-1)
    learnt = pairs(300, np.random.default_rng(0))
    one, other = (fit(embedded, learnt, learnt, 3, 4) for _ in range(2))
    assert torch.equal(one.weights, other.weights)
    assert torch.equal(one.projection, other.projection)


def test_a_rare_token_weighs_more() -> None:
    ones = np.ones(1, np.float32)
    bags = [(np.array([token]), ones) for token in (0, 0, 0, 1)]
    found = rarity(bags, 3)
    assert found.tolist() == sorted(found.tolist())
    assert found[0] == np.float32(np.log(5 / 4))


def test_docstrings_with_the_function_they_were_taken_from() -> None:
    (pair,) = from_docstrings("p", STORE, BAGS)
    assert pair.asking[0].tolist() == BAGS.of("Opens what is kept at a path.")[0].tolist()
    code = BAGS.of("def open_store(path):\n    return path\n")
    assert pair.answer[0].tolist() == code[0].tolist()
    assert list(from_docstrings("p", USER, BAGS)) == []


def test_the_lines_before_a_call_with_what_is_called() -> None:
    neighbours = Neighbours(["p", "p"], ["p/use.py", "p/store.py"], [USER, STORE])

    class Always(random.Random):
        def random(self) -> float:
            return 0.0

    (pair,) = from_calls("p", 0, USER, neighbours, BAGS, Always())
    before = "import store\n\n\ndef use(path):\n    opened = 1"
    assert pair.asking[0].tolist() == BAGS.of(before)[0].tolist()
    assert set(BAGS.of("open_store")[0].tolist()) <= set(pair.answer[0].tolist())
    assert list(from_calls("p", 1, STORE, neighbours, BAGS, Always())) == []
