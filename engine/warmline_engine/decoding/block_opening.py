"""Lines that open a block, where the text below lacks one: the model chooses among the words that they begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

from torch import Tensor

from .hypotheses import Hypothesis, logprobs_of

# of Python
WORDS = ("for", "if", "def", "with", "while", "try:", "else:", "elif", "except", "class", "async")


def openers(
    beginning: str,
    encode: Callable[[str], list[int]],
    logits: Callable[[Sequence[int]], Tensor],
    logprob: float,
) -> list[Hypothesis]:
    """A text with each of the words behind it, the likeliest first. `logprob` is that of the text."""
    spelled = [encode(beginning + word) for word in WORDS]
    alike = list(takewhile(lambda ids: len(set(ids)) == 1, zip(*spelled, strict=False)))
    shared = [ids[0] for ids in alike]
    expected = logprobs_of(logits(shared))
    found = [
        Hypothesis(tuple(tokens), logprob + float(expected[tokens[len(shared)]]))
        for tokens in spelled
    ]
    return sorted(found, key=lambda hypothesis: -hypothesis.logprob)
