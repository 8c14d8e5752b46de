"""The frozen request of one completion: all that decoding needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from warmline_engine.syntax.syntax_context import SyntaxContext
from warmline_engine.text.tokenizer import Tokenizer

from .adjacent_lines import NO_LINES, AdjacentLines
from .sampling import SamplingRule
from .stopping import Stopping


class LogitsSource(Protocol):
    """The logits behind a context, of one model or of two. The sequence carries the `taken` tokens."""

    @property
    def taken(self) -> list[int]: ...

    @property
    def n_by_base(self) -> int:
        """Tokens that the base model of a pair chose, of all generated so far."""
        ...

    def start(self) -> None:
        """Begins a text."""
        ...

    def logits(self, tokens: Sequence[int]) -> Tensor:
        """The logits after generated tokens, with recall and contrast. Shape: [V]."""
        ...

    def finish(self) -> None:
        """Ends a text: the sequence keeps its taken tokens only."""
        ...

    def model_logits(self, tokens: Sequence[int]) -> Tensor:
        """The logits after generated tokens, of the model alone. Shape: [V]."""
        ...

    def carry(self, tokens: Sequence[int]) -> None:
        """Makes the sequence carry these tokens."""
        ...

    def close(self) -> None:
        """Drops drafts: each sequence keeps the tokens last taken only."""
        ...


@dataclass(frozen=True)
class Limits:
    """Bounds of one text. Decoding calls `is_cancelled` and `is_late` at each token.

    When the joint probability falls below `min_logprob`, only complete lines stay.
    """

    max_tokens: int
    is_cancelled: Callable[[], bool]
    is_late: Callable[[], bool]
    min_logprob: float = -math.inf

    def is_over(self) -> bool:
        """Whether no further answer may be started."""
        return self.is_late() or self.is_cancelled()


@dataclass(frozen=True, eq=False)
class CompletionRequest:
    """One completion, as decoding sees it.

    Ids that are True in `suppressed` are never chosen. `open_source` opens the source of the logits. Generated text
    begins with `healed_text`, which is in the document already and is not part of an answer. An answer that does not
    fit into `syntax` or repeats one of `adjacent_lines` is repaired. If that fails it is empty, unless `shows_broken`.
    `n_searched` hypotheses compete with the greedy line. Further answers branch off the first one, or are sampled if
    there is a `sampling` rule.

    Shape: suppressed [V] bool.
    """

    tokenizer: Tokenizer
    suppressed: Tensor
    stop_ids: frozenset[int]
    stopping: Stopping
    limits: Limits
    open_source: Callable[[], LogitsSource]
    adjacent_lines: AdjacentLines = NO_LINES
    healed_text: str = ""
    syntax: SyntaxContext | None = None
    shows_broken: bool = True
    n_answers: int = 1
    n_searched: int = 0
    sampling: SamplingRule | None = None
