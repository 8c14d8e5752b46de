"""Requests that no editor waits for: what follows a suggestion, and a better answer of the base model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .document_state import DocumentState
from .engine_requests import EngineRequests
from .query import SuggestionQuery, Target
from .suggestions import Suggestion, SuggestionMaker, joined

# after this time without a key the user is reading the suggestion, and what follows it is fetched
READING_S = 0.15


class Prefetcher:
    """Fetches ahead for the suggestions that are shown."""

    def __init__(
        self,
        requests: EngineRequests,
        maker: SuggestionMaker,
        notify_better: Callable[[str, int], None],
    ) -> None:
        self._requests = requests
        self._maker = maker
        self._notify_better = notify_better

    def prefetch(self, state: DocumentState, query: SuggestionQuery) -> None:
        """Fetches what would follow if the rest of the suggestion were accepted."""
        suggestion = state.suggestion
        if suggestion is None or query.settings.mode == "onRequest":
            return
        query = replace(query, is_automatic=True, selected=None)
        state.background.start_prefetch(self._prefetch(state, query, suggestion))

    async def _prefetch(
        self, state: DocumentState, query: SuggestionQuery, suggestion: Suggestion
    ) -> None:
        target = Target(suggestion.cursor, suggestion.remaining)
        found = await self._requests.fetch(query, target, READING_S, "prefetch")
        current = state.suggestion
        if found.items and current is not None and current.is_same_rest(suggestion):
            state.suggestion = replace(current, prefetched=found.items[0])

    def improve(self, state: DocumentState, query: SuggestionQuery) -> None:
        """Asks the base model of a pair at the same place, and suggests its answer if that is another one."""
        state.background.start_improvement(self._improve(state, query))

    async def _improve(self, state: DocumentState, query: SuggestionQuery) -> None:
        target = Target(query.offset)
        found = await self._requests.fetch(query, target, 0.0, "improve", force_base=True)
        shown = state.suggestion
        if found.items and (shown is None or shown.text != found.items[0].text):
            made = self._maker.make(query.offset, found.items)
            state.suggestion = joined(made, has_others=not query.is_automatic)
            self._notify_better(query.document.uri, query.offset)
        self.prefetch(state, query)
