"""Speculation: drafted tokens are encoded with those that are certain, in one pass. The answer is the model's own.

Source: Leviathan et al. 2023 (arXiv:2211.17192), greedy case. It holds where tokens are sampled too: a draft is one
token here, so to sample from the model and compare is to accept with its probability and else to sample from the rest.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from warmline_engine.text.prefix import n_in_common

from .draft_costs import DraftCostModel
from .drafts import NOTHING_DRAFTED, Drafter

Ints = NDArray[np.int64]
NOTHING_PENDING: Ints = np.empty(0, np.int64)


class Extensible(Protocol):
    """What speculation needs of a sequence."""

    def __len__(self) -> int: ...

    def truncate(self, n_tokens: int) -> None: ...

    def extend(self, tokens: Sequence[int], pending: Ints | None = None) -> Tensor: ...


class Speculation:
    """A model behind a context: gives the logits behind tokens, and with each pass encodes what probably follows.

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
        """`first` are the logits behind the context where they are known. Where they are not, the first pass makes
        them, and encodes the pending positions too.

        Shapes: first [V], pending [k], rising.
        """
        self.taken: list[int] = []
        self.n_passes = 0
        self.sequence = sequence
        self.draft = draft
        self._draft_costs = draft_costs
        self._n_context = len(sequence)
        self.pending = pending
        self._first = first
        self._last = first  # the logits behind the taken ones
        self._drafted: list[int] = []  # encoded already, behind the taken ones
        self._logits: list[Tensor] = []  # behind each of the drafted ones
        self._learn, self._n_learnt = NOTHING_DRAFTED.learn, 0
        self._one_row_s: float | None = None

    @property
    def is_begun(self) -> bool:
        """Whether the logits behind the context are known."""
        return self._first is not None

    def append(self, token: int) -> Tensor:
        """Takes a token; the logits behind it, as if it had been encoded alone. Shape: [V] float32."""
        return self.logits([*self.taken, token])

    def logits(self, tokens: Sequence[int]) -> Tensor:
        """The logits behind tokens that follow the context; those that were not read yet are read in one pass.

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
        """Makes the sequence carry tokens that follow the context, and no draft; nobody asks what follows them."""
        new = self._go_back(tokens)
        self.close()
        if new:
            self.taken += new
            self.sequence.extend(new)
            self._last = None

    def _go_back(self, tokens: Sequence[int]) -> list[int]:
        """Gives up what was taken otherwise; the tokens that are to be read behind what stays."""
        n_same = n_in_common(self.taken, tokens)
        if n_same < len(self.taken):
            del self.taken[n_same:]
            self.close()
            self._last = None if self.taken else self._first
        return list(tokens[n_same:])

    def _read(self, new: list[int]) -> Tensor:
        """Reads new tokens, and a draft behind them where the context was read before; the logits behind the new."""
        if self._first is None:
            self.taken = list(new)
            self._first, *logits = self.sequence.extend(new, self.pending).unbind()
            self.n_passes += 1
            return logits[-1] if logits else self._first
        if not new:  # the logits are gone: what they stand behind is read once more
            new = [self.taken.pop()]
        self.close()
        self.taken += new
        draft = self.draft(self.taken)
        rows = [*new, *draft.tokens]
        begin = time.perf_counter()
        logits = self.sequence.extend(rows).unbind()
        if len(new) == 1:
            self._note_cost(len(rows), time.perf_counter() - begin)
        self.n_passes += 1
        n_drafted = len(draft.tokens)
        self._drafted, self._learn, self._n_learnt = list(draft.tokens), draft.learn, 0
        self._logits = list(logits[len(logits) - n_drafted :])
        return logits[-1 - n_drafted]

    def _note_cost(self, n_rows: int, elapsed_s: float) -> None:
        if n_rows == 1:
            self._one_row_s = elapsed_s
            self._draft_costs.note_pass(elapsed_s)
        elif self._one_row_s is not None:
            self._draft_costs.note_cost(self._one_row_s, n_rows, elapsed_s)

    def close(self) -> None:
        """Leaves the sequence with the taken tokens only."""
        self.sequence.truncate(self._n_context + len(self.taken))
        self._drafted, self._logits = [], []
