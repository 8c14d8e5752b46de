"""When an engine that ended is started again: after growing pauses, and not for ever."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

FIRST_PAUSE_S, MAX_PAUSE_S = 1.0, 60.0
N_CRASHES, WITHIN_S = 5, 300.0


class Restarts:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pause_s = FIRST_PAUSE_S
        self._started = clock()
        self._ends: deque[float] = deque()

    def note_start(self) -> None:
        self._started = self._clock()

    def note_end(self) -> bool:
        """Notes that the engine ended; returns whether it has ended too often."""
        now = self._clock()
        self._ends.append(now)
        while now - self._ends[0] > WITHIN_S:
            self._ends.popleft()
        return len(self._ends) >= N_CRASHES

    def next_pause_s(self) -> float:
        """The pause before the next start; after an engine that ran for long it is short again."""
        if self._clock() - self._started > MAX_PAUSE_S:
            self._pause_s = FIRST_PAUSE_S
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, MAX_PAUSE_S)
        return pause_s
