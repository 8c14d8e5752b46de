"""What two runs of tokens begin with alike: that much of a cache serves both."""

from __future__ import annotations

from collections.abc import Sequence


def n_in_common(tokens: Sequence[int], others: Sequence[int]) -> int:
    """How many tokens two runs have in common from the first on."""
    n, n_least = 0, min(len(tokens), len(others))
    while n < n_least and tokens[n] == others[n]:
        n += 1
    return n
