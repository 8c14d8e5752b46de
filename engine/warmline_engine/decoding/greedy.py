"""The decoding loop: one token at a time, the likeliest unless another choice is requested, until a rule ends it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .hypotheses import BranchRecorder, Hypothesis
from .request import CompletionRequest

NOTHING = Hypothesis()


@dataclass(frozen=True)
class Decoded:
    """Generated tokens and the part of their text that is the answer.

    `logprob` is the joint log-probability of all tokens, with the one that ended them; `mean_logprob` is per token.
    """

    tokens: list[int]
    text: str
    logprob: float
    mean_logprob: float
    stop: str


def likeliest(logprobs: Tensor) -> int:
    """Shape: [V]."""
    if logprobs.device.type == "cpu":
        return int(logprobs.numpy().argmax())  # faster than torch's
    return int(logprobs.argmax())


class AnswerDecoder:
    """Decodes the texts of one request, one after the other, from the same source of logits."""

    def __init__(self, request: CompletionRequest) -> None:
        self.request = request
        self.source = request.open_source()
        self._branches = BranchRecorder(0)
        self._greedy_tokens: list[int] = []

    @property
    def is_block(self) -> bool:
        """Whether a block is completed, not only a line."""
        return self.request.stopping.is_block

    @property
    def n_by_base(self) -> int:
        """Tokens that the base model of a pair chose so far."""
        return self.source.n_by_base

    def greedy(self, max_branches: int) -> Decoded:
        """The greedy text. Notes its branches, of which `hypotheses` then returns at most `max_branches`."""
        self._branches = BranchRecorder(max_branches)
        found = self.decode(branches=self._branches if max_branches else None)
        self._greedy_tokens = found.tokens
        return found

    def hypotheses(self, n_wanted: int) -> list[Hypothesis]:
        """The likeliest branches off the greedy text, the one that shares the most of it first."""
        stop_ids, spell = self.request.stop_ids, self.request.tokenizer.decode
        return self._branches.best(n_wanted, self._greedy_tokens, stop_ids, spell)

    def decode(
        self,
        prefix: Hypothesis = NOTHING,
        branches: BranchRecorder | None = None,
        choose: Callable[[Tensor], int] = likeliest,
        *,
        max_tokens: int | None = None,
        min_logprob: float | None = None,
    ) -> Decoded:
        """One text that begins with the tokens of `prefix`; the sequence afterwards carries its tokens.

        Tokens of `prefix` that the sequence carries are not encoded again. The last two arguments replace limits of
        the request.
        """
        limits = self.request.limits
        if max_tokens is not None:
            limits = replace(limits, max_tokens=max_tokens)
        if min_logprob is not None:
            limits = replace(limits, min_logprob=min_logprob)
        request = replace(self.request, limits=limits)
        self.source.start()
        try:
            return decode(request, self.source.logits, prefix, branches, choose)
        finally:
            self.source.finish()

    def carried(self) -> list[int]:
        """A copy of the generated tokens that the sequence carries."""
        return list(self.source.taken)

    def carry(self, tokens: Sequence[int]) -> None:
        """Makes the sequence carry these tokens."""
        self.source.carry(tokens)

    def close(self) -> None:
        """Drops drafts: the sequence keeps the tokens last taken only."""
        self.source.close()


def decode(
    request: CompletionRequest,
    logits_after: Callable[[Sequence[int]], Tensor],
    prefix: Hypothesis = NOTHING,
    branches: BranchRecorder | None = None,
    choose: Callable[[Tensor], int] = likeliest,
) -> Decoded:
    """Generates one text, which begins with the tokens of `prefix`.

    `logits_after` returns the logits after generated tokens. `branches` notes which other tokens could have been
    chosen. `choose` picks a token by log-probabilities.
    """
    tokenizer, stopping, limits = request.tokenizer, request.stopping, request.limits
    n_healed = len(request.healed_text)
    tokens, logprob, n_chosen = list(prefix.tokens), prefix.logprob, len(prefix.tokens)
    text, reason = tokenizer.decode(tokens)[n_healed:], ""
    logits = logits_after(tokens)
    # adding this is faster than filling in
    mask = torch.zeros_like(logits).masked_fill_(request.suppressed, -math.inf)
    if tokens and (stop := stopping.find(text)):
        text, reason = text[: stop.n_characters], stop.reason
    while not reason and len(tokens) < limits.max_tokens:
        if limits.is_cancelled():
            reason = "cancelled"
            break
        if tokens and limits.is_late():
            reason = "deadline"
            break
        logprobs = (logits + mask).log_softmax(0)
        token = choose(logprobs)
        if branches:
            branches.note(len(tokens), logprobs, token, logprob)
        logprob += float(logprobs[token])
        n_chosen += 1
        if logprob < limits.min_logprob:
            text, reason = text[: max(0, text.rfind("\n"))], "unsure"
            break
        if token in request.stop_ids:
            reason = "end"
            break
        tokens.append(token)
        text = tokenizer.decode(tokens)[n_healed:]
        stop = stopping.find(text)
        if stop is not None:
            text, reason = text[: stop.n_characters], stop.reason
            break
        if len(tokens) < limits.max_tokens:
            logits = logits_after(tokens)
    return Decoded(tokens, text, logprob, logprob / max(1, n_chosen), reason or "tokens")
