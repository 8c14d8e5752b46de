"""Several cursors, recognized from edits alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.growth import count_steps
from warmline_lsp.completion.cursors import MAX_CURSORS, Cursors
from warmline_lsp.documents.difference import Edit

LINE = 20  # characters


def rounds(n_cursors: int, n_keys: int, order: int, n_removed: int = 0) -> list[Edit]:
    """The edits of cursors in lines of the same length, each with the offsets of the text at its time."""
    ends = [LINE * k + 10 for k in range(n_cursors)]
    found: list[Edit] = []
    for key in range(n_keys):
        for k in range(n_cursors)[::order]:
            text = "" if n_removed else "abcdefgh"[key % 8]
            found.append(Edit(ends[k] - n_removed, ends[k], text))
            shift = len(text) - n_removed
            ends = [end + shift if k <= j else end for j, end in enumerate(ends)]
    return found


@given(
    n_cursors=st.integers(2, MAX_CURSORS),
    order=st.sampled_from([1, -1]),
    n_removed=st.sampled_from([0, 1]),
)
def test_after_two_keys_cursors_are_several(n_cursors: int, order: int, n_removed: int) -> None:
    cursors = Cursors()
    for k, edit in enumerate(rounds(n_cursors, 4, order, n_removed)):
        cursors.note([edit])
        assert cursors.are_several == (2 * n_cursors <= k + 1)


@given(st.lists(st.tuples(st.integers(0, 400), st.text("ab", min_size=1, max_size=3)), max_size=12))
def test_one_cursor_that_goes_on_is_one(places: list[tuple[int, str]]) -> None:
    """Wherever the user types, the second key at one place shows that there is one cursor."""
    cursors = Cursors()
    for place, text in places:
        cursors.note([Edit(place, place, text)])
        cursors.note([Edit(place + len(text), place + len(text), "x")])
        assert not cursors.are_several


def test_the_same_key_at_many_places_is_one_cursor() -> None:
    cursors = Cursors()
    for k in range(2 * MAX_CURSORS):
        cursors.note([Edit(LINE * k, LINE * k, ",")])
        assert not cursors.are_several


def test_work_for_an_edit_is_bounded() -> None:
    cursors = Cursors()
    for edit in rounds(MAX_CURSORS, 1, 1) * 5:
        cursors.note([edit])
    assert count_steps(lambda: cursors.note([Edit(0, 0, "x")])) < 10_000
