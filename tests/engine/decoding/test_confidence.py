"""What is unlikely is not shown: where generation stops, and how the bound is fitted and read."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from warmline_engine.decoding import confidence
from warmline_engine.decoding.greedy import Decoded, decode
from warmline_engine.decoding.request import CompletionRequest, Limits, LogitsSource
from warmline_engine.decoding.stopping import Stopping
from warmline_engine.errors import ModelError
from warmline_lab.fit.fit_confidence import fit

TEXTS = ("a", "b", "\n", " ", "<end>")
END = 4


class Spelling:
    """A tokenizer of single characters."""

    def decode(self, ids: list[int]) -> str:
        return "".join(TEXTS[token] for token in ids)


def no_source() -> LogitsSource:
    raise AssertionError("only an `AnswerDecoder` opens the source")


def decoded(script: list[tuple[int, float]], least: float) -> Decoded:
    """What comes of tokens that are the likeliest with given probabilities, in a block."""
    rows = []
    for token, probability in script:
        row = torch.full((len(TEXTS),), math.log((1 - probability) / (len(TEXTS) - 1)))
        row[token] = math.log(probability)
        rows.append(row)
    request = CompletionRequest(
        Spelling(),  # type: ignore[arg-type]
        torch.zeros(len(TEXTS), dtype=torch.bool),
        frozenset({END}),
        Stopping("", "", True),
        Limits(len(rows), lambda: False, lambda: False, math.log(least) if least else -math.inf),
        no_source,
    )
    return decode(request, lambda tokens: rows[len(tokens)])


scripts = st.lists(st.tuples(st.sampled_from([0, 1, 2, 4]), st.floats(0.3, 0.99)), min_size=1)


@given(scripts, st.floats(0.01, 0.9))
def test_what_stays_is_whole_lines_that_are_likely_enough(
    script: list[tuple[int, float]], least: float
) -> None:
    bounded, free = decoded(script, least), decoded(script, 0.0)
    if bounded.stop != "unsure":
        assert bounded == free
        assert bounded.logprob >= math.log(least)
        return
    assert bounded.logprob < math.log(least)
    # the tokens before the one that was too much
    n_taken = len(bounded.tokens)
    assert math.prod(p for _, p in script[:n_taken]) >= least * 0.999
    spelled = "".join(TEXTS[token] for token in bounded.tokens)
    assert bounded.text == (spelled.rpartition("\n")[0] if "\n" in spelled else "")


def test_the_logprob_is_of_all_tokens_the_end_included() -> None:
    found = decoded([(0, 0.5), (1, 0.8), (END, 0.9)], 0.0)
    assert (found.text, found.stop) == ("ab", "end")
    assert found.logprob == pytest.approx(math.log(0.5 * 0.8 * 0.9))
    assert found.mean_logprob == pytest.approx(found.logprob / 3)


def test_the_bound_is_where_one_in_ten_is_exact() -> None:
    rng = np.random.default_rng(1)
    logprobs = -rng.exponential(2.0, 20_000)
    # by hand: exact with a probability of p / (1 + p), which is a tenth at p = 1/9
    exact = rng.random(20_000) < 1 / (1 + np.exp(-logprobs))
    assert fit(logprobs, exact) == pytest.approx(1 / 9, rel=0.1)


def test_where_the_likelier_is_not_righter_all_is_shown() -> None:
    logprobs = np.linspace(-4, 0, 100)
    assert fit(logprobs, logprobs < -2) == 0.0


@given(st.lists(st.booleans(), min_size=2, max_size=60))
def test_any_outcome_gives_a_probability(exact: list[bool]) -> None:
    assert 0 <= fit(np.linspace(-9, 0, len(exact)), np.array(exact)) <= 0.5


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "confidence.json"
    assert confidence.read(path) == 0.0
    confidence.write(path, 0.0625)
    assert confidence.read(path) == 0.0625


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"least_probability": 1}', '{"least_probability": true}',
                '{"least_probability": "0.1"}', '{"least_probability": -0.1}', '{"least_probability": NaN}']
)  # fmt: skip
def test_what_is_no_probability_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "confidence.json"
    path.write_text(content)
    with pytest.raises(ModelError, match=r"confidence\.json"):
        confidence.read(path)
