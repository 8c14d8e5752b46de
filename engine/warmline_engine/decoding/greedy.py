"""The decoding loop: a token each time, the likeliest unless another choice is asked for, until a rule says stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from warmline_engine.text.tokenizer import Tokenizer

from .hypotheses import Begun, Branches, logprobs_of
from .stopping import Stopping

NOTHING = Begun()


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

    Where all tokens together become less likely than `least_logprob`, only the lines before stay.
    """

    max_tokens: int
    is_cancelled: Callable[[], bool]
    is_late: Callable[[], bool]
    least_logprob: float = -math.inf


def likeliest(logprobs: Tensor) -> int:
    """Shape: [V]."""
    if logprobs.device.type == "cpu":
        return int(
            logprobs.numpy().argmax()
        )  # torch's takes four times as long: 0.4 ms of 150,000 tokens
    return int(logprobs.argmax())


def decode(
    logits: Tensor,
    append: Callable[[int], Tensor],
    tokenizer: Tokenizer,
    barred: Tensor,
    ends: frozenset[int],
    stopping: Stopping,
    limits: Limits,
    n_known: int = 0,
    begun: Begun = NOTHING,
    branches: Branches | None = None,
    choose: Callable[[Tensor], int] = likeliest,
) -> Decoded:
    """Generates from the logits behind a sequence; `append` adds a token and gives the next logits.

    The first `n_known` characters stand before the cursor already and are not offered. The logits are behind what
    is `begun` already. `branches` are told what else could have been chosen; `choose` gets log-probabilities.
    """
    tokens, logprob, n_chosen = list(begun.tokens), begun.logprob, len(begun.tokens)
    text, reason = tokenizer.decode(tokens)[n_known:], ""
    # added, which takes a tenth of what filling in does
    bar = torch.zeros_like(logits).masked_fill_(barred, -math.inf)
    if tokens and (stop := stopping.find(text)):
        text, reason = text[: stop.n_characters], stop.reason
    while not reason and len(tokens) < limits.max_tokens:
        if limits.is_cancelled():
            reason = "cancelled"
            break
        if tokens and limits.is_late():
            reason = "deadline"
            break
        logprobs = logprobs_of(logits + bar)
        token = choose(logprobs)
        if branches:
            branches.note(len(tokens), logprobs, token, logprob)
        logprob += float(logprobs[token])
        n_chosen += 1
        if logprob < limits.least_logprob:
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
    return Decoded(tokens, text, logprob, logprob / max(1, n_chosen), reason or "tokens")
