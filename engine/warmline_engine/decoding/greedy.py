"""The decoding loop: a token each time, the likeliest unless another choice is asked for, until a rule says stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .hypotheses import BranchRecorder, Hypothesis
from .request import CompletionRequest

NOTHING = Hypothesis()


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


def likeliest(logprobs: Tensor) -> int:
    """Shape: [V]."""
    if logprobs.device.type == "cpu":
        return int(
            logprobs.numpy().argmax()
        )  # torch's takes four times as long: 0.4 ms of 150,000 tokens
    return int(logprobs.argmax())


def decode(
    request: CompletionRequest,
    logits_after: Callable[[Sequence[int]], Tensor],
    hypothesis: Hypothesis = NOTHING,
    branches: BranchRecorder | None = None,
    choose: Callable[[Tensor], int] = likeliest,
) -> Decoded:
    """Generates one text, which begins with the tokens of `hypothesis`.

    `logits_after` gives the logits behind generated tokens. `branches` notes what else could have been chosen. `choose`
    gets log-probabilities.
    """
    tokenizer, stopping, limits = request.tokenizer, request.stopping, request.limits
    n_known = len(request.healed_text)
    tokens, logprob, n_chosen = list(hypothesis.tokens), hypothesis.logprob, len(hypothesis.tokens)
    text, reason = tokenizer.decode(tokens)[n_known:], ""
    logits = logits_after(tokens)
    # added, which takes a tenth of what filling in does
    bar = torch.zeros_like(logits).masked_fill_(request.suppressed, -math.inf)
    if tokens and (stop := stopping.find(text)):
        text, reason = text[: stop.n_characters], stop.reason
    while not reason and len(tokens) < limits.max_tokens:
        if limits.is_cancelled():
            reason = "cancelled"
            break
        if tokens and limits.is_late():
            reason = "deadline"
            break
        logprobs = (logits + bar).log_softmax(0)
        token = choose(logprobs)
        if branches:
            branches.note(len(tokens), logprobs, token, logprob)
        logprob += float(logprobs[token])
        n_chosen += 1
        if logprob < limits.least_logprob:
            text, reason = text[: max(0, text.rfind("\n"))], "unsure"
            break
        if token in request.stop_ids:
            reason = "end"
            break
        tokens.append(token)
        text = tokenizer.decode(tokens)[n_known:]
        stop = stopping.find(text)
        if stop is not None:
            text, reason = text[: stop.n_characters], stop.reason
            break
        if len(tokens) < limits.max_tokens:
            logits = logits_after(tokens)
    return Decoded(tokens, text, logprob, logprob / max(1, n_chosen), reason or "tokens")
