"""The state of a document between requests."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from warmline_lsp.documents.difference import Edit
from warmline_lsp.documents.documents import Document

from .accept_history import AcceptHistory
from .cursors import Cursors
from .suggestions import Suggestion
from .typing_cadence import TypingCadence
from .usage_statistics import UsageStatistics


class DocumentState:
    """The kept suggestion of a document, how its user types, and its requests in progress."""

    def __init__(self) -> None:
        self.suggestion: Suggestion | None = None
        self.n_edits = 0
        self.cadence = TypingCadence()
        self.cursors = Cursors()
        self.accepts = AcceptHistory()
        self.background = BackgroundRequests()
        self._superseded: asyncio.Future[None] | None = None

    def follow(
        self, document: Document, edits: list[Edit], statistics: UsageStatistics, now: float
    ) -> None:
        """Follows the edits that led to a document, and counts what they say of the suggestion."""
        self.cadence.note(now)
        self.n_edits += 1
        self.cursors.note(edits)
        is_undone = False
        for edit in edits:
            before = self.suggestion
            after = before.follow(edit) if before else None
            statistics.edited(document.uri, before, after, edit, now)
            is_undone = self.accepts.follow(edit, before, after)
            self.suggestion = None if is_undone else after
        if is_undone:
            self.accepts.note_undone(document.text, edits[-1].start)

    def cancel_requests(self) -> None:
        """Ends all requests in progress: the text or the place is another one now."""
        self.supersede()
        self.background.cancel()

    def supersede(self) -> None:
        """Makes the request that an editor waits for answer empty."""
        if self._superseded is not None and not self._superseded.done():
            self._superseded.set_result(None)
        self._superseded = None

    def begin_request(self) -> asyncio.Future[None]:
        """A future that is done as soon as the new request is superseded."""
        self._superseded = asyncio.get_running_loop().create_future()
        return self._superseded


class BackgroundRequests:
    """Requests of one document that no editor waits for."""

    def __init__(self) -> None:
        self._prefetch: asyncio.Task[None] | None = None
        self._improvement: asyncio.Task[None] | None = None

    def start_prefetch(self, work: Coroutine[Any, Any, None]) -> None:
        """Prefetches, in place of the prefetch in progress."""
        self.cancel_prefetch()
        self._prefetch = asyncio.create_task(work)

    def start_improvement(self, work: Coroutine[Any, Any, None]) -> None:
        self._improvement = asyncio.create_task(work)

    def cancel_prefetch(self) -> None:
        if self._prefetch is not None:
            self._prefetch.cancel()
        self._prefetch = None

    def cancel(self) -> None:
        self.cancel_prefetch()
        if self._improvement is not None:
            self._improvement.cancel()
        self._improvement = None
