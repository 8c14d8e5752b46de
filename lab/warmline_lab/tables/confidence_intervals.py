"""How sure a difference is: paired bootstrap intervals and McNemar's test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval."""

    mean: float
    low: float
    high: float


def ratio_interval(
    numerators: NDArray[np.float64],
    denominators: NDArray[np.float64],
    groups: list[str],
    seed: int = 0,
) -> Interval:
    """The sum of numerators over the sum of denominators, resampled by group.

    Requests of one file are no independent draws: groups are drawn, not requests.

    Shapes: all three of one length.
    """
    if len(numerators) == 0:
        return Interval(math.nan, math.nan, math.nan)
    names, group_of = np.unique(np.array(groups), return_inverse=True)
    above = np.bincount(group_of, numerators, len(names))
    below = np.bincount(group_of, denominators, len(names))
    mean = float(above.sum() / below.sum())
    drawn = np.random.default_rng(seed).integers(len(names), size=(N_RESAMPLES, len(names)))
    resampled = above[drawn].sum(1) / below[drawn].sum(1)
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Interval(mean, float(low), float(high))


def mcnemar(gained: int, lost: int) -> float:
    """The two-sided exact p of as uneven a split of the pairs that differ, were both ways as likely.

    Source: McNemar 1947, exact binomial form.
    """
    n, fewer = gained + lost, min(gained, lost)
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**n)
