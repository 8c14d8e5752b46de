"""How many examples costly property tests take."""

from __future__ import annotations

from hypothesis import settings

PLAIN = 100  # examples of a property test that costs little, in the calls of `examples`
MIN_EXAMPLES = 5


def examples(n: int) -> int:
    """The examples of a test that takes `n` where others take 100, scaled to the profile in use.

    `make test` takes half as many, `make test PROFILE=deep` four times as many.
    """
    return max(MIN_EXAMPLES, n * settings().max_examples // PLAIN)
