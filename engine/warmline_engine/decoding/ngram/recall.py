"""Recall: mixes the tokens that followed the same tokens elsewhere into the model's distribution.

A small model has hardly learnt to look names up in its context. The share of recall depends on how many tokens agree
and on how certain the model is. Shares are fitted on held-out text (`lab/warmline_lab/fit/fit_recall.py`) and lie
beside the weights; a model without them is used as it is.

Source: a cache language model (Kuhn & De Mori 1990) over n-grams of any length, with the shares of a linear
interpolation (Jelinek & Mercer 1980) fitted by expectation maximisation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from warmline_engine.errors import ModelError
from warmline_engine.model.hub.reading import MAX_CONFIG_BYTES, read_json

from .suffix_match import LONGEST, SuffixMatcher

# of the sum of squared probabilities: below the first bound the model is unsure, from the last on it is sure
CERTAINTY_BOUNDS = (0.1, 0.3, 0.6, 0.9)
N_CERTAINTIES = len(CERTAINTY_BOUNDS) + 1


@dataclass(frozen=True, eq=False)
class Shares:
    """The share of recall by (tokens that agree - 1, certainty of the model). Shape: [LONGEST, N_CERTAINTIES]."""

    table: NDArray[np.float64]

    @classmethod
    def read(cls, path: Path) -> Shares | None:
        """The shares beside a model's weights, None where there are none.

        Raises: ModelError, when the file holds something else.
        """
        if not path.exists():
            return None
        try:
            table = np.array(read_json(path, MAX_CONFIG_BYTES, ModelError)["shares"], np.float64)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path.name}: expected an object with `shares`: {error}") from None
        is_good = table.shape == (LONGEST, N_CERTAINTIES) and bool(
            ((table >= 0) & (table < 1)).all()
        )
        if not is_good:
            raise ModelError(
                f"{path.name}: expected {LONGEST} rows of {N_CERTAINTIES} shares in [0, 1), got shape {table.shape}"
            )
        return cls(table)

    def write(self, path: Path) -> None:
        rows = [[round(float(share), 4) for share in row] for row in self.table]
        body = ",\n  ".join(json.dumps(row) for row in rows)
        path.write_text(f'{{"shares": [\n  {body}\n]}}\n')


@dataclass(frozen=True, eq=False)
class Recalled:
    """The ids that followed the longest agreement, their frequencies, and how many tokens agreed."""

    n_agreeing: int
    ids: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recall:
    """Predictions of the text around one cursor for what comes next."""

    shares: Shares
    matcher: SuffixMatcher

    def mix(
        self, logits: Tensor, generated: Sequence[int], allowed: NDArray[np.int64] | None = None
    ) -> Tensor:
        """Logits of the mixture after the generated tokens. Shapes: [V] float32 → [V] float32."""
        found = self.find(generated, allowed)
        if found is None:
            return logits
        logprobs = logits.log_softmax(-1)
        expected = logprobs.exp()
        share = self.shares.table[found.n_agreeing - 1, certainty_of(expected)]
        if share == 0.0:
            return logits
        # a logarithm of all entries would dominate the cost
        mixed = logprobs + (math.log1p(-share) if share < 1 else -math.inf)
        ids = torch.from_numpy(found.ids).to(mixed.device)
        recalled = torch.from_numpy(found.probabilities * share).to(mixed)
        mixed[ids] = (expected[ids] * (1 - share) + recalled).log()
        return mixed

    def find(
        self, generated: Sequence[int], allowed: NDArray[np.int64] | None = None
    ) -> Recalled | None:
        """What followed the longest run of tokens that the text ends with; None if no allowed token did."""
        found = self.matcher.agreement(generated, allowed)
        if found is None:
            return None
        ids, counts = np.unique(found.tokens[found.following], return_counts=True)
        return Recalled(found.n_agreeing, ids, counts / counts.sum())


def certainty_of(probabilities: Tensor) -> int:
    """Which certainty a distribution has, an index into a row of shares. Shape: [V]."""
    total = float(probabilities @ probabilities)
    return int(np.searchsorted(CERTAINTY_BOUNDS, total, side="right"))
