"""Work that no request waits for: encoding of edits, repair and refresh, in short chunks.

Repair and refresh only improve what can be served already; `idle_throttle.py` decides when they run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from warmline_engine.cache.arena import ArenaFull

from .idle_throttle import Pace
from .open_documents import AnySession, EngineDocument, OpenDocuments

log = logging.getLogger(__name__)

CHUNK_MS = 60.0
MIN_CHUNK, MAX_CHUNK = 16, 256  # tokens
ACTIVE_S = 120.0  # a document is worked on for so long after its last edit, cursor move or request


@dataclass(frozen=True)
class _Task:
    """One kind of work; `run` takes a session and a number of tokens, and returns whether it did anything."""

    run: Callable[[AnySession, int], bool]
    is_optional: bool  # improves what can be served already


# the most important first
_TASKS = (
    _Task(lambda session, n_tokens: session.encode_some(n_tokens), is_optional=False),
    _Task(lambda session, n_tokens: session.repair_some(n_tokens), is_optional=True),
    _Task(lambda session, n_tokens: session.refresh_some(n_tokens), is_optional=True),
)


class BackgroundWork:
    """Works on recently used documents, the one used last first."""

    def __init__(self, documents: OpenDocuments, pace: Pace) -> None:
        self._documents = documents
        self._pace = pace
        self.chunk = 64  # tokens that take about CHUNK_MS

    def step(self) -> bool:
        """Does one chunk of the most important work; returns whether there was any."""
        now = time.monotonic()
        recent = sorted(
            (d for d in self._documents if now - d.touched < ACTIVE_S), key=lambda d: -d.touched
        )
        for task in _TASKS:
            for document in recent:
                if task.is_optional and not self._pace.allows(now, document.touched):
                    continue
                if self._work_on(document, task):
                    if task.is_optional:
                        self._pace.note(now, time.monotonic())
                    return True
        return False

    def pause_s(self) -> float:
        """How long to wait for frames before the next step."""
        return self._pace.pause_s(time.monotonic())

    def _work_on(self, document: EngineDocument, task: _Task) -> bool:
        begin, before = time.monotonic(), document.session.n_encoded
        try:
            did = self._documents.with_room(
                document, lambda: task.run(document.session, self.chunk)
            )
        except ArenaFull as error:
            log.warning("no memory for background work: %s", error)
            document.touched = 0.0  # skip it until its next use
            return False
        except BaseException:
            document.touched = 0.0  # else the worker would repeat the same failure for ever
            raise
        if document.session.n_encoded - before == self.chunk:
            self._adapt_chunk((time.monotonic() - begin) * 1000)
        if document.session.n_pending == 0:
            document.report_encoded(document.session.n_encoded, time.monotonic())
        return did

    def _adapt_chunk(self, elapsed_ms: float) -> None:
        chunk = int(self.chunk * min(2.0, max(0.5, CHUNK_MS / max(elapsed_ms, 0.1))))
        self.chunk = max(MIN_CHUNK, min(MAX_CHUNK, chunk))
