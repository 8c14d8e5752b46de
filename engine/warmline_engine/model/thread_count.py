"""How many threads decode fastest. All that there are need not: a pass of one token is over in milliseconds, and they
meet a dozen times in it, where the slowest core, or one that runs something else, holds up the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

N_PASSES = 8  # of each; the shortest counts
# a longer pass waits for memory, not for threads that meet, and trying it with few of them would hold up the start
LONG_S = 0.05
WORTH = 0.95  # of the time with fewer threads: what another one must save to be used


def chosen(n_most: int, pass_s: Callable[[int], float]) -> int:
    """The fewest threads, of at most n_most, than which more are hardly faster.

    `pass_s` is the seconds of a pass with so many.
    """
    best, best_s = 1, pass_s(1)
    for n_threads in _tried(n_most):
        seconds = pass_s(n_threads)
        if seconds < WORTH * best_s:
            best, best_s = n_threads, seconds
    return best


def _tried(n_most: int) -> Iterator[int]:
    """2, 3, 4, 6, 8, 12 and so on, and n_most."""
    for power in range(1, n_most.bit_length()):
        for n_threads in (2**power, 3 * 2 ** (power - 1)):
            # 3 stands between 2 and 4
            if n_threads < n_most:
                yield n_threads
    if n_most > 1:
        yield n_most


def shortest_s(run: Callable[[], object], n_passes: int = N_PASSES) -> float:
    """Seconds of the fastest of some passes."""
    least = float("inf")
    for _ in range(n_passes):
        begin = time.perf_counter()
        run()
        least = min(least, time.perf_counter() - begin)
    return least
