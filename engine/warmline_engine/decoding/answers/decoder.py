"""Decodes the texts of one request, one after the other, from the same logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from torch import Tensor

from warmline_engine.decoding.greedy import NOTHING, Decoded, decode, likeliest
from warmline_engine.decoding.hypotheses import BranchRecorder, Hypothesis
from warmline_engine.decoding.request import CompletionRequest


class LogitsSource(Protocol):
    """What follows a context by one model, or by two. The sequence carries the `taken` tokens behind the context."""

    @property
    def taken(self) -> list[int]: ...

    def start(self) -> None:
        """Begins a text."""
        ...

    def logits(self, tokens: Sequence[int]) -> Tensor:
        """Behind generated tokens, recall and contrast mixed in. Shape: [V]."""
        ...

    def finish(self) -> None:
        """Ends a text: the sequence keeps its taken tokens only."""
        ...

    def model_logits(self, tokens: Sequence[int]) -> Tensor:
        """Behind generated tokens, by the model alone. Shape: [V]."""
        ...

    def carry(self, tokens: Sequence[int]) -> None:
        """Makes the sequence carry these tokens."""
        ...


class AnswerDecoder:
    """A request and the source of its logits."""

    def __init__(self, request: CompletionRequest, source: LogitsSource) -> None:
        self.request = request
        self.source = source

    def decode(
        self,
        begun: Hypothesis = NOTHING,
        branches: BranchRecorder | None = None,
        choose: Callable[[Tensor], int] = likeliest,
        *,
        max_tokens: int | None = None,
        least_logprob: float | None = None,
    ) -> Decoded:
        """One text behind the context; the sequence afterwards carries its tokens.

        Tokens of `begun` that the sequence carries are not read again. The last two arguments replace limits of the
        request.
        """
        request, limits = self.request, self.request.limits
        if max_tokens is not None:
            request = replace(request, limits=replace(limits, max_tokens=max_tokens))
        if least_logprob is not None:
            request = replace(request, limits=replace(limits, least_logprob=least_logprob))
        self.source.start()
        try:
            return decode(request, self.source.logits, begun, branches, choose)
        finally:
            self.source.finish()

    def carried(self) -> list[int]:
        """A copy of the generated tokens that the sequence carries."""
        return list(self.source.taken)
