"""Which documents make the engine crash."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

log = logging.getLogger(__name__)

N_CRASHES_OF_DOCUMENT, WITHIN_S = 2, 300.0


class CrashRecord:
    """`quarantined` are documents that are not sent again, `suspected` those that the next engine opens alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.quarantined: set[str] = set()
        self.suspected: set[str] = set()
        self._clock = clock
        self._crashes: dict[str, list[float]] = {}

    def note_crash(self, certain: set[str], possible: set[str]) -> None:
        """Notes a crash while the engine worked on each of the `certain` documents, or on one of the `possible` ones.

        A document of two crashes is quarantined.
        """
        now = self._clock()
        for document in certain:
            crashes = [at for at in self._crashes.get(document, []) if now - at < WITHIN_S]
            self._crashes[document] = [*crashes, now]
            n_crashes = len(crashes) + 1 + (document in self.suspected)
            self.suspected.discard(document)
            if n_crashes >= N_CRASHES_OF_DOCUMENT and document not in self.quarantined:
                self.quarantined.add(document)
                log.error("%s is excluded: the engine crashed twice on it", file_name(document))
        self.suspected |= possible - self.quarantined

    def acquit(self, document: str) -> None:
        """Notes that the engine took the document alone, or that it was closed."""
        self.suspected.discard(document)


def file_name(document: str) -> str:
    """The name of a document's file, for messages."""
    return unquote(urlsplit(document).path).rpartition("/")[2]
