"""Words that open a block, in the order in which a model expects them."""

from __future__ import annotations

import pytest

from warmline_engine.decoding.block_opening import WORDS, openers
from warmline_engine.model.cold_read import ColdRead
from warmline_engine.session.loaded_model import LoadedModel


@pytest.mark.parametrize("beginning", ["x = 1\n    ", "", "for name in names:\n        "])
def test_the_likeliest_word_is_the_first(model: LoadedModel, beginning: str) -> None:
    """By the logits of one cold read for each word."""

    def encode(text: str) -> list[int]:
        return model.tokenizer.encode(text).ids

    before = encode("def f(names):\n    ")

    def read(tokens: tuple[int, ...] | list[int]) -> ColdRead:
        return ColdRead(model.transformer, [*before, *tokens], slice(-1, None))

    found = openers(beginning, encode, lambda said: read(list(said)).logits[0], -1.0)
    assert sorted(hypothesis.tokens for hypothesis in found) == sorted(
        tuple(encode(beginning + word)) for word in WORDS
    )
    n_shared = next(
        n for n in range(99) if len({hypothesis.tokens[: n + 1] for hypothesis in found}) > 1
    )
    for hypothesis in found:
        logits = read(hypothesis.tokens[:n_shared]).logits[0]
        expected = float(logits.log_softmax(0)[hypothesis.tokens[n_shared]]) - 1.0
        assert hypothesis.logprob == pytest.approx(expected, abs=1e-4)
    logprobs = [hypothesis.logprob for hypothesis in found]
    assert logprobs == sorted(logprobs, reverse=True)
