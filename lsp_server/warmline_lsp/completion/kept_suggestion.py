"""What of a kept suggestion answers a query. Nothing here changes, counts or starts anything."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from warmline_protocol import wire
from warmline_protocol.text.line_ends import with_breaks_of, with_newlines
from warmline_protocol.text.rest_of_line import without_rest

from .query import SuggestionQuery
from .suggestions import Suggestion

_MAX_SKIPPED = 8  # closing brackets over which a cursor moves


@dataclass(frozen=True)
class Kept:
    """The suggestion at the cursor, and those of it and its alternatives that have text left.

    `prefetched` follows a suggestion that was accepted as a whole.
    """

    suggestion: Suggestion | None = None
    shown: tuple[Suggestion, ...] = ()
    prefetched: wire.Item | None = None


NOTHING_KEPT = Kept()


def look_up(suggestion: Suggestion | None, query: SuggestionQuery) -> Kept:
    """What of a suggestion serves a query at its offset."""
    if suggestion is None:
        return NOTHING_KEPT
    if suggestion.cursor < query.offset:
        end = min(query.offset, suggestion.cursor + _MAX_SKIPPED)
        skipped = query.document.text[suggestion.cursor : end]
        suggestion = suggestion.moved(query.offset, skipped)
    if suggestion.cursor != query.offset:
        return Kept(suggestion)
    if not suggestion.remaining:
        return Kept(suggestion, prefetched=suggestion.prefetched)
    candidates = (suggestion, *suggestion.others)
    shown = tuple(s for s in candidates if s.cursor == query.offset and s.remaining)
    return Kept(suggestion, shown)


def remaining_text(suggestion: Suggestion, query: SuggestionQuery) -> str:
    """The rest of a suggestion, without the bracket that the editor added behind the cursor."""
    if not suggestion.is_enclosed:
        return suggestion.remaining
    document, line = query.document, query.line_before
    rest = document.line(document.position_at(query.offset).line)[len(line) :]
    remaining = without_rest(with_newlines(suggestion.remaining), line, rest)
    if not rest.strip():
        remaining = remaining.rstrip()
    return with_breaks_of(document.text, query.offset, remaining) if remaining.strip() else ""


def is_excluded(suggestion: Suggestion | None, query: SuggestionQuery) -> bool:
    """Whether the settings allow no completion at this place in the suggestion's text."""
    if suggestion is None or suggestion.cursor != query.offset:
        return False
    # after an odd number of ends a place is inside a span
    return bisect_right(suggestion.excluded, suggestion.n_typed) % 2 == 1


def lacks_alternatives(suggestion: Suggestion | None, query: SuggestionQuery) -> bool:
    """Whether the user requests alternatives to the suggestion, and none were requested yet."""
    is_wanted = not query.is_automatic and query.settings.alternatives > 1
    return is_wanted and suggestion is not None and not suggestion.has_others
