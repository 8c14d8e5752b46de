"""Drafts: what the text says comes next, verified by the model in one pass. The answer is the model's own.

A draft is copied from where the last tokens stand elsewhere in the file. Its length follows a
threshold: a further token is drafted while the probability that all up to it are taken is worth more than
what one more row costs in the pass.

Sources: Yang et al. 2023, "Inference with Reference" (arXiv:2304.04487), for copying; Huang et al. 2024,
SpecDec++ (arXiv:2405.19715), for the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from .agreement import BORDER, Around

LONGEST_DRAFT = 8  # more rows than this would take the slower way through attention
# how often the next copied token may be the model's, by how many tokens agree: start values, not yet fitted to a log
ACCEPTANCE = (0.30, 0.45, 0.55, 0.65, 0.75)
# one more row in a pass against a pass of its own: attention over 8,000 slots takes 0.9 of 5 ms more for the small
# model, 9 of 50 ms more at the shape of Qwen2.5-Coder-0.5B (two cores, kernels/bench)
ROW_COST = 0.15

Drafter = Callable[[Sequence[int]], list[int]]


def draft_length(n_agreeing: int) -> int:
    """How many tokens to copy where so many agree."""
    acceptance = ACCEPTANCE[min(n_agreeing, len(ACCEPTANCE)) - 1]
    n_tokens, worth = 0, acceptance
    while n_tokens < LONGEST_DRAFT and worth > ROW_COST:
        n_tokens, worth = n_tokens + 1, worth * acceptance
    return n_tokens


def copying(around: Around) -> Drafter:
    """A drafter that copies what followed the same tokens, from the place nearest before the cursor."""

    def draft(generated: Sequence[int]) -> list[int]:
        found = around.agreement(generated)
        if found is None:
            return []
        start = int(found.following[-1])
        run = found.tokens[start : start + draft_length(found.n_agreeing)].tolist()
        return run[: run.index(BORDER)] if BORDER in run else run

    return draft


class Extensible(Protocol):
    """What drafts need of a sequence."""

    def __len__(self) -> int: ...

    def truncate(self, n_tokens: int) -> None: ...

    def extend(self, tokens: Sequence[int]) -> Tensor: ...


class Speculation:
    """Adds tokens to a sequence, and with each encodes those that probably follow.

    Between calls the sequence may carry drafted tokens behind the taken ones; `close` drops them.
    """

    def __init__(self, sequence: Extensible, draft: Drafter, taken: Sequence[int] = ()) -> None:
        """`taken` are tokens that the sequence ends with already."""
        self.taken = list(taken)
        self.n_passes = 0
        self._sequence = sequence
        self._draft = draft
        self._n_context = len(sequence) - len(taken)
        self._drafted: list[int] = []  # encoded already, behind the taken ones
        self._logits: list[Tensor] = []  # behind each of the drafted ones

    def append(self, token: int) -> Tensor:
        """Takes a token; the logits behind it, as if it had been encoded alone. Shape: [V] float32."""
        if self._drafted and self._drafted[0] == token:
            self.taken.append(token)
            del self._drafted[0]
            return self._logits.pop(0)
        self.close()
        self.taken.append(token)
        self._drafted = self._draft(self.taken)
        first, *self._logits = self._sequence.extend([token, *self._drafted]).unbind()
        self.n_passes += 1
        return first

    def close(self) -> None:
        """Leaves the sequence with the taken tokens only."""
        self._sequence.truncate(self._n_context + len(self.taken))
        self._drafted, self._logits = [], []
