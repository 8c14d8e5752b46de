"""Where else in the text around a cursor the last tokens stand: what recall and drafts both look up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

LONGEST = 12  # tokens that are compared; more than this agree as much as this
BORDER = -1  # equal to no token
Ids = Sequence[int] | NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SuffixMatch:
    """The longest run of tokens that the text ends with and that stands elsewhere too.

    `following` are places in `tokens`, rising, of what followed it. Shapes: tokens [n], following [k], k > 0.
    """

    n_agreeing: int
    tokens: NDArray[np.int64]
    following: NDArray[np.int64]


class SuffixMatcher:
    """The tokens before and behind a cursor, and others. What follows is never one of the barred tokens."""

    def __init__(self, prefix: Ids, suffix: Ids, suppressed_ids: Tensor, others: Ids = ()) -> None:
        self._suppressed_ids = suppressed_ids.cpu().numpy()
        parts = suffix, [BORDER], others, [BORDER], prefix
        # in this order the prefix runs on into what is generated
        self._tokens = np.concatenate([np.asarray(part, np.int64) for part in parts])

    def agreement(
        self, generated: Sequence[int], allowed: NDArray[np.int64] | None = None
    ) -> SuffixMatch | None:
        """The longest agreement behind the prefix and the generated tokens, None where the last stands nowhere else.

        Only where one of the allowed tokens followed, if those are given.

        Cost: one pass over the tokens, 10 to 20 microseconds at 8,000.
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

    def _may_follow(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        return (ids != BORDER) & ~self._suppressed_ids[ids]
