"""Speculation: drafted tokens are encoded in the same pass as generated ones. Drafts never change the answer.

Source: Leviathan et al. 2023 (arXiv:2211.17192), greedy case. It holds for sampled tokens too: each drafted token is a
point distribution, so sampling from the model and comparing equals their acceptance rule.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from warmline_engine.text.prefix import n_in_common

from .drafts import NOTHING_DRAFTED, DraftCostModel, Drafter

Ints = NDArray[np.int64]
NOTHING_PENDING: Ints = np.empty(0, np.int64)


class Extensible(Protocol):
    """The part of a sequence that speculation uses."""

    def __len__(self) -> int: ...

    def truncate(self, n_tokens: int) -> None: ...

    def extend(self, tokens: Sequence[int], pending: Ints | None = None) -> Tensor: ...


class Speculation:
    """The logits of a model after tokens that follow a context; each pass also encodes a draft.

    Between calls the sequence may carry drafted tokens behind the taken ones; `close` drops them.
    """

    def __init__(
        self,
        sequence: Extensible,
        draft: Drafter,
        draft_costs: DraftCostModel,
        first: Tensor | None = None,
        pending: Ints = NOTHING_PENDING,
    ) -> None:
        """`first` are the logits after the context. If they are None, the first pass computes them, and also encodes
        the pending positions.

        Shapes: first [V], pending [k], rising.
        """
        self.taken: list[int] = []
        self.n_passes = 0
        self._sequence = sequence
        self._draft = draft
        self._draft_costs = draft_costs
        self._n_context = len(sequence)
        self._pending = pending
        self._first = first
        self._last = first  # the logits after the taken ones
        self._drafted: list[int] = []  # encoded already, behind the taken ones
        self._logits: list[Tensor] = []  # after each of the drafted ones
        self._learn, self._n_learnt = NOTHING_DRAFTED.learn, 0
        self._one_row_s: float | None = None

    def logits(self, tokens: Sequence[int]) -> Tensor:
        """The logits after tokens that follow the context; tokens that have no keys yet are encoded in one pass.

        Shape: [V] float32.
        """
        new = self._go_back(tokens)
        while new and self._drafted:
            is_taken = self._drafted[0] == new[0]
            self._learn(self._n_learnt, is_taken)
            self._n_learnt += 1
            if not is_taken:
                break
            self.taken.append(new.pop(0))
            del self._drafted[0]
            self._last = self._logits.pop(0)
        if self._last is None or new:
            self._last = self._read(new)
        return self._last

    def carry(self, tokens: Sequence[int]) -> None:
        """Makes the sequence carry tokens that follow the context, and no draft."""
        new = self._go_back(tokens)
        self.close()
        if new:
            self.taken += new
            self._sequence.extend(new)
            self._last = None

    def close(self) -> None:
        """Leaves the sequence with the taken tokens only."""
        self._sequence.truncate(self._n_context + len(self.taken))
        self._drafted, self._logits = [], []

    def _go_back(self, tokens: Sequence[int]) -> list[int]:
        """Drops taken tokens that differ; the tokens that are to be encoded behind the others."""
        n_same = n_in_common(self.taken, tokens)
        if n_same < len(self.taken):
            del self.taken[n_same:]
            self.close()
            self._last = None if self.taken else self._first
        return list(tokens[n_same:])

    def _read(self, new: list[int]) -> Tensor:
        """Encodes new tokens, and a draft unless this is the first pass; the logits after the new ones."""
        if self._first is None:
            self.taken = list(new)
            self._first, *logits = self._sequence.extend(new, self._pending).unbind()
            self.n_passes += 1
            return logits[-1] if logits else self._first
        if not new:  # the logits are gone: encode their token again
            new = [self.taken.pop()]
        self.close()
        self.taken += new
        draft = self._draft(self.taken)
        rows = [*new, *draft.tokens]
        begin = time.perf_counter()
        logits = self._sequence.extend(rows).unbind()
        elapsed_s = time.perf_counter() - begin
        if len(rows) == 1:
            self._one_row_s = elapsed_s
            self._draft_costs.note_pass(elapsed_s)
        elif len(new) == 1 and self._one_row_s is not None:
            self._draft_costs.note_cost(self._one_row_s, len(rows), elapsed_s)
        self.n_passes += 1
        n_drafted = len(draft.tokens)
        self._drafted, self._learn, self._n_learnt = list(draft.tokens), draft.learn, 0
        self._logits = list(logits[len(logits) - n_drafted :])
        return logits[-1 - n_drafted]
