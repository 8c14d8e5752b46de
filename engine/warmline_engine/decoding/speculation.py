"""Speculation: drafted tokens are encoded with the one that is certain, in one pass. The answer is the model's own.

Source: Leviathan et al. 2023 (arXiv:2211.17192), greedy case.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from .drafts import Drafter
from .payoff import Payoff


class Extensible(Protocol):
    """What speculation needs of a sequence."""

    def __len__(self) -> int: ...

    def truncate(self, n_tokens: int) -> None: ...

    def extend(self, tokens: Sequence[int]) -> Tensor: ...


class Speculation:
    """Adds tokens to a sequence, and with each encodes those that probably follow.

    Between calls the sequence may carry drafted tokens behind the taken ones; `close` drops them.
    """

    def __init__(
        self, sequence: Extensible, draft: Drafter, payoff: Payoff, taken: Sequence[int] = ()
    ) -> None:
        """`taken` are tokens that the sequence ends with already."""
        self.taken = list(taken)
        self.n_passes = 0
        self._sequence = sequence
        self._draft = draft
        self._payoff = payoff
        self._n_context = len(sequence) - len(taken)
        self._drafted: list[int] = []  # encoded already, behind the taken ones
        self._logits: list[Tensor] = []  # behind each of the drafted ones
        self._n_agreeing = 0  # before the first drafted one
        self._one_row_s: float | None = None

    def append(self, token: int) -> Tensor:
        """Takes a token; the logits behind it, as if it had been encoded alone. Shape: [V] float32."""
        if self._drafted:
            is_taken = self._drafted[0] == token
            self._payoff.note(self._n_agreeing, is_taken)
            if is_taken:
                self.taken.append(token)
                del self._drafted[0]
                self._n_agreeing += 1
                return self._logits.pop(0)
        self.close()
        self.taken.append(token)
        draft = self._draft(self.taken)
        self._drafted, self._n_agreeing = list(draft.tokens), draft.n_agreeing
        first, *self._logits = self._pass([token, *self._drafted]).unbind()
        return first

    def _pass(self, tokens: list[int]) -> Tensor:
        begin = time.perf_counter()
        logits = self._sequence.extend(tokens)
        elapsed = time.perf_counter() - begin
        self.n_passes += 1
        if len(tokens) == 1:
            self._one_row_s = elapsed
        elif self._one_row_s is not None:
            self._payoff.note_cost(self._one_row_s, len(tokens), elapsed)
        return logits

    def close(self) -> None:
        """Leaves the sequence with the taken tokens only."""
        self._sequence.truncate(self._n_context + len(self.taken))
        self._drafted, self._logits = [], []
