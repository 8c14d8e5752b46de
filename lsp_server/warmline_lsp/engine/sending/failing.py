"""Documents on which the engine fails: sent again after growing pauses, then left out until they change."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_FAILURES, WITHIN_S = 5, 300.0
FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 60.0


@dataclass
class _Document:
    failed_at: list[float] = field(default_factory=list[float])
    n_left_out: int = 0
    version: int | None = None  # that the engine failed on
    is_pausing: bool = False
    is_left_out: bool = False


class Failing:
    """What is known of documents on which the engine failed and has not succeeded since."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._documents: dict[str, _Document] = {}

    def quarantined(self) -> set[str]:
        """Documents that stay out until they change or are opened again."""
        return {name for name, found in self._documents.items() if found.is_left_out}

    def note(self, document: str, version: int | None) -> float:
        """Notes a failure; returns for how long the document is not sent. `resume` ends that pause. Units: seconds."""
        now = self._clock()
        found = self._documents.setdefault(document, _Document())
        found.failed_at = [at for at in found.failed_at if now - at < WITHIN_S]
        found.failed_at.append(now)
        found.version, found.is_pausing = version, True
        n_failures = len(found.failed_at)
        if n_failures < MAX_FAILURES:
            # the first failure may be a document that went out of step: it is sent at once
            return FIRST_PAUSE_S * 2 ** (n_failures - 2) if n_failures > 1 else 0.0
        found.is_left_out = True
        found.n_left_out += 1
        # the first change is sent at once, then no longer at each key
        return min(MAX_PAUSE_S, 2.0**found.n_left_out) if found.n_left_out > 1 else 0.0

    def resume(self, document: str) -> None:
        """Ends the pause of a document."""
        if (found := self._documents.get(document)) is not None:
            found.is_pausing = False

    def may_open(self, document: str, version: int) -> bool:
        """Whether a version of a document may be sent."""
        found = self._documents.get(document)
        if found is None:
            return True
        return not found.is_pausing and not (found.is_left_out and found.version == version)

    def opened(self, document: str) -> None:
        """Notes that a document was sent again."""
        if (found := self._documents.get(document)) is not None:
            found.is_left_out = False

    def forget(self, document: str) -> None:
        """Notes that the engine succeeded, or that the document was closed."""
        self._documents.pop(document, None)
