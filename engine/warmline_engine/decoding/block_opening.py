"""Lines that open a block, when the text below lacks one: the model chooses their first word."""

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
    """A text followed by each of the words, the likeliest first. `logprob` is that of the text."""
    spelled = [encode(beginning + word) for word in WORDS]
    in_common = takewhile(lambda ids: len(set(ids)) == 1, zip(*spelled, strict=False))
    shared = [ids[0] for ids in in_common]
    logprobs = logprobs_of(logits(shared))
    found = [
        Hypothesis(tuple(tokens), logprob + float(logprobs[tokens[len(shared)]]))
        for tokens in spelled
    ]
    return sorted(found, key=lambda hypothesis: -hypothesis.logprob)
