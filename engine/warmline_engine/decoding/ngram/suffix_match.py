"""Finds where else in the text around a cursor its last tokens occur. Recall and drafts use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

LONGEST = 12  # tokens that are compared; more than this agree as much as this
BORDER = -1  # equal to no token
Ids = Sequence[int] | NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SuffixMatch:
    """The longest run of tokens that the text ends with and that occurs elsewhere too.

    `following` are indexes into `tokens`, rising, of the tokens that followed it.

    Shapes: tokens [n], following [k], k > 0.
    """

    n_agreeing: int
    tokens: NDArray[np.int64]
    following: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SuffixMatcher:
    """The tokens before and behind a cursor, and others. A suppressed id never counts as following.

    Shape: suppressed_ids [V] bool.
    """

    prefix: Ids
    suffix: Ids
    suppressed_ids: Tensor
    others: Ids = ()

    def agreement(
        self, generated: Sequence[int], allowed: NDArray[np.int64] | None = None
    ) -> SuffixMatch | None:
        """The longest agreement with the end of prefix and generated tokens; None if their last token is unique.

        If `allowed` is given, only places that one of these tokens followed count.

        Cost: one pass over the tokens.
        """
        tokens = np.concatenate((self._tokens, np.array(generated, np.int64)))
        if tokens[-1] == BORDER:
            return None
        following = np.flatnonzero(tokens[:-1] == tokens[-1]) + 1
        following = following[self._may_follow(tokens[following])]
        if allowed is not None:
            following = following[np.isin(tokens[following], allowed)]
        n_agreeing, longest = 0, following
        while len(following) and n_agreeing < LONGEST:
            n_agreeing, longest = n_agreeing + 1, following
            n_next = n_agreeing + 1
            if len(tokens) < n_next or tokens[-n_next] == BORDER:
                break
            following = following[n_next <= following]
            following = following[tokens[following - n_next] == tokens[-n_next]]
        return SuffixMatch(n_agreeing, tokens, longest) if n_agreeing else None

    @cached_property
    def _tokens(self) -> NDArray[np.int64]:
        # the prefix is last, so that generated tokens continue it
        parts = self.suffix, [BORDER], self.others, [BORDER], self.prefix
        return np.concatenate([np.asarray(part, np.int64) for part in parts])

    @cached_property
    def _is_suppressed(self) -> NDArray[np.bool_]:
        return self.suppressed_ids.cpu().numpy()

    def _may_follow(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (ids != BORDER) & ~self._is_suppressed[ids]
