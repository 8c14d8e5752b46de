"""Decides when repair and refresh may run, which only improve entries that can be used already.

They wait for a pause in typing, take a bounded share of the time, and rest while the machine runs on its battery.
"""

from __future__ import annotations

import time
from pathlib import Path

QUIET_S = 1.0  # after the last edit, cursor or request
SHARE = 0.5  # of the time, at most
LONGEST_PAUSE_S = 5.0
BATTERY_LOOK_S = 10.0  # how long what was seen of the battery is believed


class Battery:
    """Whether the machine runs on battery, as Linux reports; False on other systems."""

    def __init__(self, folder: Path = Path("/sys/class/power_supply")) -> None:
        self._folder = folder
        self._is_in_use = False
        self._looked_at = float("-inf")

    def is_in_use(self) -> bool:
        now = time.monotonic()
        if now - self._looked_at > BATTERY_LOOK_S:
            self._is_in_use, self._looked_at = self._look(), now
        return self._is_in_use

    def _look(self) -> bool:
        try:
            states = [path.read_text().strip() for path in self._folder.glob("BAT*/status")]
        except OSError:
            return False
        return "Discharging" in states


class Pace:
    """Times are of one monotonic clock, in seconds."""

    def __init__(self, battery: Battery) -> None:
        self._battery = battery
        self._not_before = float("-inf")
        self._next_look: float | None = None

    def allows(self, now: float, touched: float) -> bool:
        """Whether a document that was last touched then may be worked on now."""
        if self._battery.is_in_use():
            return False
        ready = max(self._not_before, touched + QUIET_S)
        if ready <= now:
            return True
        self._next_look = ready if self._next_look is None else min(self._next_look, ready)
        return False

    def note(self, begin: float, end: float) -> None:
        """Counts a piece of work: as long again, and more where SHARE is under a half, nothing is done."""
        self._not_before = end + (end - begin) * (1 - SHARE) / SHARE

    def pause_s(self, now: float) -> float:
        """How long to wait for something to come in before it is time to look again."""
        next_look, self._next_look = self._next_look, None
        if next_look is None:
            return LONGEST_PAUSE_S
        return min(LONGEST_PAUSE_S, max(0.001, next_look - now))
