"""Which other tokens alternatives begin with."""

from __future__ import annotations

import torch

from warmline_engine.decoding.hypotheses import N_EARLY, BranchRecorder, Hypothesis, logprobs_of

END = 4
TEXTS = ["a", "ab", "b", "c", ""]
NAMES = frozenset({END})


def spell(tokens: list[int]) -> str:
    return "".join(TEXTS[token] for token in tokens)


def note(branches: BranchRecorder, *rows: list[float]) -> list[int]:
    """Tells of a greedy answer with these probabilities; its tokens."""
    tokens, logprob = list[int](), 0.0
    for row in rows:
        logprobs = torch.tensor(row).log()
        token = int(logprobs.argmax())
        branches.note(len(tokens), logprobs, token, logprob)
        logprob += float(logprobs[token])
        tokens.append(token)
    return tokens


def test_the_least_certain_token_is_left_first() -> None:
    branches = BranchRecorder(1)
    tokens = note(branches, [0.9, 0.0, 0.06, 0.04, 0.0], [0.0, 0.0, 0.6, 0.4, 0.0])
    (hypothesis,) = branches.best(1, tokens, NAMES, spell)
    assert hypothesis.tokens == (0, 3)
    assert abs(hypothesis.logprob - float(torch.tensor(0.9 * 0.4).log())) < 1e-6


def test_what_shares_the_most_comes_first_and_no_more_than_wanted() -> None:
    branches = BranchRecorder(2)
    tokens = note(branches, [0.6, 0.0, 0.3, 0.1, 0.0], [0.0, 0.0, 0.8, 0.2, 0.0])
    assert [hypothesis.tokens for hypothesis in branches.best(2, tokens, NAMES, spell)] == [
        (0, 3),
        (2,),
    ]


def test_an_end_and_the_same_text_in_other_tokens_are_no_alternatives() -> None:
    branches = BranchRecorder(3)
    tokens = note(branches, [0.1, 0.5, 0.05, 0.0, 0.35])
    assert spell(tokens) == "ab"
    # "a" is how "ab" begins, and token 4 ends it
    assert [hypothesis.tokens for hypothesis in branches.best(3, tokens, NAMES, spell)] == [(2,)]


def test_a_late_token_is_left_by_nobody() -> None:
    branches = BranchRecorder(1)
    sure, unsure = [0.98, 0.0, 0.01, 0.01, 0.0], [0.5, 0.0, 0.5, 0.0, 0.0]
    tokens = note(branches, *[sure] * N_EARLY, unsure)
    (hypothesis,) = branches.best(1, tokens, NAMES, spell)
    assert len(hypothesis.tokens) <= N_EARLY


def test_log_probabilities_are_those_of_a_softmax() -> None:
    logits = torch.tensor([1.0, -2.0, float("-inf"), 3.0])
    torch.testing.assert_close(logprobs_of(logits), logits.log_softmax(0))
    assert Hypothesis() == Hypothesis((), 0.0)
