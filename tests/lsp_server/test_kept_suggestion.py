"""Looking up a kept suggestion, and its text where the editor has closed a bracket."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmline_engine.fitting.fit import Target, fit
from warmline_lsp.completion.kept_suggestion import (
    NOTHING_KEPT,
    is_excluded,
    lacks_alternatives,
    look_up,
    remaining_text,
)
from warmline_lsp.completion.query import SuggestionQuery
from warmline_lsp.completion.suggestions import Suggestion, joined
from warmline_lsp.documents.documents import Document
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire


def query(text: str, offset: int, is_automatic: bool = True, **settings: int) -> SuggestionQuery:
    document = Document.open("file:///a.py", "python", 1, text, "utf-32")
    return SuggestionQuery(document, offset, replace(Settings(), **settings), is_automatic)


KEPT = Suggestion("w1", 2, "f(a) + 1", n_typed=3)
OTHER = Suggestion("w2", 2, "f(b)", n_typed=2)


def test_what_is_left_at_the_cursor_is_found() -> None:
    found = look_up(KEPT, query("x=f(a", 5))
    assert (found.suggestion, found.shown, found.prefetched) == (KEPT, (KEPT,), None)
    assert remaining_text(KEPT, query("x=f(a", 5)) == ") + 1"
    assert look_up(None, query("", 0)) == NOTHING_KEPT
    assert look_up(KEPT, query("x=f(a", 4)).shown == ()


def test_alternatives_at_another_place_are_left_out() -> None:
    both = joined([KEPT, OTHER], has_others=True)
    assert look_up(both, query("x=f(a", 5)).shown == (both,)
    same = replace(OTHER, n_typed=3)
    assert look_up(joined([KEPT, same], True), query("x=f(a", 5)).shown[1:] == (same,)


def test_a_cursor_may_move_over_a_closing_bracket() -> None:
    found = look_up(KEPT, query("x=f(a)", 6))
    assert found.suggestion == replace(KEPT, n_typed=4, is_enclosed=True)
    assert found.shown == (found.suggestion,)
    assert KEPT.n_typed == 3, "a look-up changes nothing"


def test_prefetched_text_follows_a_suggestion_that_is_all_typed() -> None:
    item = wire.Item("\ny", 0.0)
    done = replace(KEPT, n_typed=len(KEPT.text), prefetched=item)
    found = look_up(done, query("x=f(a) + 1", done.cursor))
    assert (found.shown, found.prefetched) == ((), item)
    # not before
    assert look_up(replace(KEPT, prefetched=item), query("x=f(a", 5)).prefetched is None


@pytest.mark.parametrize(
    ("n_typed", "expected"), [(0, False), (1, False), (2, True), (3, True), (4, False), (6, True)]
)
def test_excluded_places_are_known(n_typed: int, expected: bool) -> None:
    suggestion = replace(KEPT, n_typed=n_typed, excluded=(2, 4, 6, 7))
    text = "x=f(a) + 1"
    assert is_excluded(suggestion, query(text, suggestion.cursor)) is expected
    assert not is_excluded(suggestion, query(text, suggestion.cursor - 1))
    assert not is_excluded(None, query(text, 0))


@pytest.mark.parametrize(
    ("is_automatic", "alternatives", "has_others", "expected"),
    [
        (False, 2, False, True),
        (True, 2, False, False),
        (False, 1, False, False),
        (False, 2, True, False),
    ],
)
def test_alternatives_are_lacking_where_they_are_requested_the_first_time(
    is_automatic: bool, alternatives: int, has_others: bool, expected: bool
) -> None:
    asked = query("x=f(a", 5, is_automatic, alternatives=alternatives)
    assert lacks_alternatives(replace(KEPT, has_others=has_others), asked) is expected
    assert not lacks_alternatives(None, asked)


LINE = st.lists(st.sampled_from(["f(", "a", ")", "[", "]", ", ", '"', "'", "+ 1", "é"])).map(
    "".join
)


@given(before=LINE, rest=LINE, text=LINE, line_break=st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_bracket_closed_by_the_editor_is_respected_as_the_engine_does(
    before: str, rest: str, text: str, line_break: str
) -> None:
    """What the server adapts is as the engine would fit it, syntax apart."""
    document, offset = f"y = {before}{rest}{line_break}z", 4 + len(before)
    suggestion = Suggestion("w1", offset, text, is_enclosed=True)
    assert remaining_text(suggestion, query(document, offset)) == fit(
        Target(document, offset), text, 9
    )
