"""How fast the user types, and how long to wait for a pause in it."""

from __future__ import annotations

_FAST_S, _SLOW_S = 0.15, 0.9  # between keys
_MIN_SHARE = 0.2  # of the wait, for slow typists
_WEIGHT = 0.3  # of the newest key
_PAUSE_S = 2.0  # a longer time between keys is a pause, and no measure of typing speed


class TypingCadence:
    """The time between the edits of a document, smoothed."""

    def __init__(self) -> None:
        self.interval_s = _SLOW_S
        self._at: float | None = None

    def note(self, now: float) -> None:
        """Notes an edit."""
        before, self._at = self._at, now
        if before is None or now - before > _PAUSE_S:
            return
        self.interval_s = (1 - _WEIGHT) * self.interval_s + _WEIGHT * (now - before)

    def wait_s(self, longest_s: float, is_line_start: bool, now: float) -> float:
        """How long to wait before a request: long while the user types fast, briefly for slow keys, not on a new line.

        At the start of a line people stop to think, and blocks are suggested there. The wait begins with the last key,
        so the time that an editor waits before its request counts.
        """
        if is_line_start:
            return 0.0
        slowness = (self.interval_s - _FAST_S) / (_SLOW_S - _FAST_S)
        wait_s = longest_s * max(_MIN_SHARE, min(1.0, 1.0 - slowness))
        return wait_s if self._at is None else max(0.0, wait_s - (now - self._at))
