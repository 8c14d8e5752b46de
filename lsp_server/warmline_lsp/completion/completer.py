"""Answers an editor's requests: from the kept suggestion where it can, else with one request to the engine.

The steps, in order: `target_of` finds the completion's place, `look_up` a kept suggestion for it,
`EngineRequests.fetch` gets completions, and `Prefetcher` fetches the next ones.
Only the newest request of a document is answered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import attrs

from warmline_lsp.documents.difference import Edit
from warmline_lsp.documents.documents import Document
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire

from .comment_first import comment_and_code
from .document_state import DocumentState
from .engine_requests import NOTHING_FOUND, Engine, EngineRequests, Found
from .kept_suggestion import (
    NOTHING_KEPT,
    Kept,
    is_excluded,
    lacks_alternatives,
    look_up,
    remaining_text,
)
from .prefetching import Prefetcher
from .query import SuggestionQuery, Target, target_of
from .suggestions import Suggestion, SuggestionMaker, joined
from .usage_statistics import UsageStatistics


@dataclass(frozen=True)
class Item:
    """A text to insert, and the id under which the client refers to it."""

    id: str
    text: str


def _no_trace(event: str, **fields: Any) -> None:
    """Default trace callback; does nothing."""


def _ignore(uri: str, offset: int) -> None:
    """Default callback for a better answer; does nothing."""


class Completer:
    """Answers completion requests of all documents of a server."""

    def __init__(
        self,
        engine: Engine,
        statistics: UsageStatistics,
        trace: Callable[..., None] = _no_trace,
        clock: Callable[[], float] = time.monotonic,
        notify_better: Callable[[str, int], None] = _ignore,
    ) -> None:
        """`notify_better` is called when a request at an offset of a document would now get a better answer."""
        self.statistics = statistics
        self._trace = trace
        self._clock = clock
        self._notify_better = notify_better
        self._states: dict[str, DocumentState] = {}
        self._maker = SuggestionMaker(statistics.offered)
        self._requests = EngineRequests(engine, statistics, trace)
        self._prefetcher = Prefetcher(self._requests, self._maker, notify_better)

    @property
    def engine(self) -> Engine:
        return self._requests.engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self._requests.engine = engine

    def edited(self, document: Document, edits: list[Edit], settings: Settings) -> None:
        """Follows the edits that led to a document, before the next request for it."""
        state = self._state(document.uri)
        state.follow(document, edits, self.statistics, self._clock())
        state.cancel_requests()
        suggestion = state.suggestion
        if suggestion is not None and suggestion.remaining and not suggestion.prefetched:
            query = SuggestionQuery(document, suggestion.cursor, settings)
            self._prefetcher.prefetch(state, query)

    def closed(self, uri: str) -> None:
        """Forgets a document."""
        self.statistics.closed(uri)
        state = self._states.pop(uri, None)
        if state is not None:
            state.cancel_requests()

    async def complete(self, query: SuggestionQuery) -> list[Item]:
        """Texts to insert at an offset of a version, best first.

        A newer request for the document makes this one answer empty at once; so does an edit.
        """
        begin, uri = self._clock(), query.document.uri
        self.statistics.n_requests += 1
        state = self._state(uri)
        state.supersede()
        target = target_of(query)
        is_at_cursor = target == Target(query.offset)
        kept = look_up(state.suggestion, query) if is_at_cursor else NOTHING_KEPT
        is_refused = self._is_refused(state, query) or is_excluded(kept.suggestion, query)
        if target is None or is_refused:
            return self._answered(uri, "refused", [])
        shown = self._show_kept(state, query, kept)
        if shown and not lacks_alternatives(state.suggestion, query):
            self.statistics.n_reused += 1
            return self._answered(uri, "offer", _from_entry_start(query, shown))
        first = state.suggestion if shown else None
        found = await self._fetch(state, query, target)
        if found is None:
            return self._answered(uri, "engine", [])
        if found.is_provisional and first is None and is_at_cursor:
            self._prefetcher.improve(state, query)
        if first is None and not found.items:
            return self._answered(uri, "engine", [])
        self.statistics.answered(query.document.language, (self._clock() - begin) * 1000)
        suggestions = self._suggestions(query, target, first, found)
        return self._answered(uri, "engine", self._show(state, query, target, suggestions, found))

    async def comment_first(self, query: SuggestionQuery) -> str:
        """Suggests a comment that says what comes next, and the code below it; the text, empty if there is none.

        Nothing is inserted; a client that shows completions shows this one when it is notified.
        """
        state = self._state(query.document.uri)
        state.cancel_requests()
        n_edits = state.n_edits
        text = await comment_and_code(self._requests, query)
        if not text or state.n_edits != n_edits:
            return ""
        (state.suggestion,) = self._maker.make(query.offset, [wire.Item(text, 0.0)])
        self._notify_better(query.document.uri, query.offset)
        return text

    # ---- the steps of a request

    def _is_refused(self, state: DocumentState, query: SuggestionQuery) -> bool:
        """Whether the user wants no completion here, or none now."""
        if not self.engine.is_ready:
            return True
        if not query.is_automatic:
            return False
        is_off = query.settings.mode == "onRequest" or state.cursors.are_several
        return is_off or state.accepts.is_undone_at(query.document.text, query.offset)

    def _show_kept(self, state: DocumentState, query: SuggestionQuery, kept: Kept) -> list[Item]:
        """Shows what was found to be kept. Prefetched text becomes the suggestion, and what follows it is fetched."""
        if kept.suggestion is not None:
            state.suggestion = kept.suggestion
        for suggestion in kept.shown:
            self.statistics.offered(suggestion.id, suggestion.text, suggestion.n_typed)
        if kept.prefetched is None:
            items = [Item(s.id, remaining_text(s, query)) for s in kept.shown]
            return [item for item in items if item.text]
        self.statistics.n_prefetched += 1
        (suggestion,) = self._maker.make(query.offset, [kept.prefetched])
        state.suggestion = suggestion
        self._prefetcher.prefetch(state, query)
        return [Item(suggestion.id, suggestion.text)]

    async def _fetch(
        self, state: DocumentState, query: SuggestionQuery, target: Target
    ) -> Found | None:
        """The engine's answer after a pause in typing; None if the request was superseded, or the text edited."""
        state.background.cancel()
        superseded, n_edits = state.begin_request(), state.n_edits
        work = self._requests.fetch(query, target, self._wait_s(state, query), "complete")
        found = await _unless(superseded, work)
        return None if superseded.done() or state.n_edits != n_edits else found

    def _wait_s(self, state: DocumentState, query: SuggestionQuery) -> float:
        if not query.is_automatic:
            return 0.0
        is_line_start = not query.line_before.strip()
        longest_s = query.settings.debounce_ms / 1000
        return state.cadence.wait_s(longest_s, is_line_start, self._clock())

    def _suggestions(
        self, query: SuggestionQuery, target: Target, first: Suggestion | None, found: Found
    ) -> list[Suggestion]:
        """New suggestions, behind the one that the user sees already, if there is one."""
        items = [_with_lead(target.virtual_text, item) for item in found.items]
        if first is None:
            return self._maker.make(target.offset, items)
        shown = remaining_text(first, query)
        items = [item for item in items if item.text != shown]
        items = items[: query.settings.alternatives - 1]
        return [first, *self._maker.make(target.offset, items)]

    def _show(
        self,
        state: DocumentState,
        query: SuggestionQuery,
        target: Target,
        suggestions: list[Suggestion],
        found: Found,
    ) -> list[Item]:
        """Keeps new suggestions and fetches what follows the first of them."""
        items = [Item(s.id, remaining_text(s, query)) for s in suggestions]
        if target.n_replaced or target.offset != query.offset:
            # accepting it is no insertion at the cursor, so no edit will follow it
            state.suggestion = None
            lead = query.document.text[query.entry_start : target.offset]
            return [Item(item.id, lead + item.text) for item in items]
        state.suggestion = joined(suggestions, has_others=not query.is_automatic)
        if not found.is_provisional:
            self._prefetcher.prefetch(state, query)
        return _from_entry_start(query, items)

    def _state(self, uri: str) -> DocumentState:
        return self._states.setdefault(uri, DocumentState())

    def _answered(self, uri: str, source: str, items: list[Item]) -> list[Item]:
        self._trace("answer", uri=uri, source=source, items=len(items))
        return items


def _with_lead(lead: str, item: wire.Item) -> wire.Item:
    """An item with a text in front."""
    excluded = tuple(end + len(lead) for end in item.excluded)
    return attrs.evolve(item, text=lead + item.text, excluded=excluded)


def _from_entry_start(query: SuggestionQuery, items: Sequence[Item]) -> list[Item]:
    """Items at the cursor, with the typed part of a selected entry in front: the editor replaces that part."""
    typed = query.document.text[query.entry_start : query.offset]
    return [Item(item.id, typed + item.text) for item in items]


async def _unless(superseded: asyncio.Future[None], work: Coroutine[Any, Any, Found]) -> Found:
    """The result of the work, or nothing as soon as it is superseded; the work is then cancelled."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait((task, superseded), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else NOTHING_FOUND
    finally:
        if not task.done():
            task.cancel()
