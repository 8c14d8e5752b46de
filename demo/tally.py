"""Counts what a replay took."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field

WITHIN_MS = 150


@dataclass
class Tally:
    """Keys, suggestions, answers and tokens of a replay.

    Deleting a selection and moving the cursor are no keys here: they take the same with suggestions and without.
    """

    n_pressed: int = 0  # keys that type text
    accepts: Counter[str] = field(default_factory=Counter)  # whole, line, word; one key each
    n_covered: int = 0  # keys that accepted text would have taken
    answers: list[tuple[float, bool]] = field(default_factory=list)  # ms, and whether it had text
    n_changes: int = 0
    n_encoded: int = 0
    n_tokens: list[int] = field(default_factory=list)  # in context, for each answer of the engine
    _was_used: dict[str, bool] = field(default_factory=dict)

    def press(self) -> None:
        """A key types text."""
        self.n_pressed += 1

    def note_shown(self, suggestion_id: str | None) -> None:
        """A suggestion is shown, perhaps the same one as before."""
        if suggestion_id is not None:
            self._was_used.setdefault(suggestion_id, False)

    def accept(self, suggestion_id: str, how: str, n_keys: int) -> None:
        """One key accepts text that would have taken `n_keys`."""
        self.accepts[how] += 1
        self.n_covered += n_keys
        self._was_used[suggestion_id] = True

    @property
    def n_without(self) -> int:
        """Keys that the same text takes without suggestions."""
        return self.n_pressed + self.n_covered

    @property
    def n_with(self) -> int:
        """Keys that it took, one for each suggestion accepted."""
        return self.n_pressed + self.accepts.total()

    @property
    def saved_percent(self) -> float:
        return percent(self.n_without - self.n_with, self.n_without)

    @property
    def n_shown(self) -> int:
        return len(self._was_used)

    @property
    def n_used(self) -> int:
        return sum(self._was_used.values())

    @property
    def within_percent(self) -> float:
        """The share of answers, those without a suggestion too, that came within WITHIN_MS."""
        return percent(sum(ms <= WITHIN_MS for ms, _ in self.answers), len(self.answers))

    @property
    def within_percent_of_shown(self) -> float:
        """The same share of the answers that had a suggestion."""
        shown = [ms for ms, has_text in self.answers if has_text]
        return percent(sum(ms <= WITHIN_MS for ms in shown), len(shown))

    @property
    def median_ms(self) -> float:
        return statistics.median([ms for ms, _ in self.answers] or [0.0])


def percent(part: float, whole: float) -> float:
    """Of nothing it is 0."""
    return 100 * part / whole if whole else 0.0
