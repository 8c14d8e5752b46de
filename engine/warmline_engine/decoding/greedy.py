"""The decoding loop: the likeliest token each time, until a rule says stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from warmline_engine.text.tokenizer import Tokenizer

from .stopping import Stopping


@dataclass(frozen=True)
class Decoded:
    """Generated tokens and the part of their text that is offered.

    `logprob` is that of all tokens together, the one that ended them included; `mean_logprob` is it for each.
    """

    tokens: list[int]
    text: str
    logprob: float
    mean_logprob: float
    stop: str


@dataclass(frozen=True)
class Limits:
    """`is_cancelled` and `is_late` are asked at each token.

    Where all tokens together become less likely than `least_probability`, only the lines before stay.
    """

    max_tokens: int
    is_cancelled: Callable[[], bool]
    is_late: Callable[[], bool]
    least_probability: float = 0.0


def decode(
    logits: Tensor,
    append: Callable[[int], Tensor],
    tokenizer: Tokenizer,
    barred: Tensor,
    ends: frozenset[int],
    stopping: Stopping,
    limits: Limits,
    rank: int = 0,
    n_known: int = 0,
) -> Decoded:
    """Generates from the logits behind a sequence; `append` adds a token and gives the next logits.

    `rank` chooses the first token that so many are allowed for: 0 the likeliest, 1 the second, and so on; all
    others are the likeliest. The first `n_known` characters stand before the cursor already and are not offered.
    """
    tokens: list[int] = []
    least = math.log(limits.least_probability) if limits.least_probability else -math.inf
    logprob, n_chosen = 0.0, 0
    text, reason = "", "tokens"
    while len(tokens) < limits.max_tokens:
        if limits.is_cancelled():
            reason = "cancelled"
            break
        if tokens and limits.is_late():
            reason = "deadline"
            break
        logits = logits.masked_fill(barred, float("-inf"))
        token = int(logits.argmax())
        if rank and _may_branch(logits, rank):
            token, rank = int(logits.topk(rank + 1).indices[rank]), 0
        logprob += float(logits[token] - torch.logsumexp(logits, 0))
        n_chosen += 1
        if logprob < least:
            text, reason = text[: max(0, text.rfind("\n"))], "unsure"
            break
        if token in ends:
            reason = "end"
            break
        tokens.append(token)
        text = tokenizer.decode(tokens)[n_known:]
        stop = stopping.find(text)
        if stop is not None:
            text, reason = text[: stop.n_characters], stop.reason
            break
        if len(tokens) < limits.max_tokens:
            logits = append(token)
    return Decoded(tokens, text, logprob, logprob / max(1, n_chosen), reason)


def _may_branch(logits: Tensor, rank: int) -> bool:
    """Whether so many tokens are allowed; where all but a few are ruled out, a later token must tell answers apart."""
    return rank < int(logits.isfinite().sum())
