"""What a completion is to be: all that decoding needs beside the model's logits, built once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from warmline_engine.syntax.syntax_context import SyntaxContext
from warmline_engine.text.tokenizer import Tokenizer

from .sampling import SamplingRule
from .stopping import Stopping


@dataclass(frozen=True)
class Limits:
    """`is_cancelled` and `is_late` are asked at each token.

    Where all tokens together become less likely than `least_logprob`, only the lines before stay.
    """

    max_tokens: int
    is_cancelled: Callable[[], bool]
    is_late: Callable[[], bool]
    least_logprob: float = -math.inf

    def is_over(self) -> bool:
        """Whether no further answer may be started."""
        return self.is_late() or self.is_cancelled()


@dataclass(frozen=True, eq=False)
class CompletionRequest:
    """One completion, as decoding sees it.

    `suppressed` is True for each id that may not be chosen. Generated text begins with `healed_text`, which stands
    before the cursor already and is not offered. The first answer fits into `syntax` if it can; if it cannot, it is
    empty unless `shows_broken`. `n_searched` hypotheses beside the greedy line compete with it. Further answers branch
    off the first, or are sampled where `sampling` says how.

    Shape: suppressed [V] bool.
    """

    tokenizer: Tokenizer
    suppressed: Tensor
    stop_ids: frozenset[int]
    stopping: Stopping
    limits: Limits
    healed_text: str = ""
    syntax: SyntaxContext | None = None
    shows_broken: bool = True
    n_answers: int = 1
    n_searched: int = 0
    sampling: SamplingRule | None = None
