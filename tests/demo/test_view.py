"""What the demo shows around the cursor."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from demo.replay import Hunk
from demo.view import CURSOR, DIM, N_ABOVE, N_BELOW, RESET, around, describe

TEXT = st.text(st.sampled_from("ab \t\n\r\x1b é"), max_size=200)


@given(TEXT, st.data(), TEXT, st.integers(20, 90))
def test_the_view_keeps_its_size(text: str, data: st.DataObject, ghost: str, width: int) -> None:
    cursor = data.draw(st.integers(0, len(text)))
    lines = around(text, cursor, ghost, width)
    assert len(lines) == N_ABOVE + 1 + N_BELOW
    for line in lines:
        plain = re.sub(r"\x1b\[\d+m", "", line)
        assert len(plain) <= width
        assert plain.isprintable(), "nothing that a terminal would act on"


def test_the_suggestion_is_dimmed_between_what_is_before_and_behind_it() -> None:
    lines = around("a\nfoo()\nb", 6, "x, y", 80)
    dimmed = f"{CURSOR}{DIM}x{RESET}{DIM}, y{RESET}"
    assert lines[:3] == ["  a", f"> foo({dimmed})", "  b"]
    assert around("a", 1, "", 80)[0] == f"> a{CURSOR} {RESET}", "the cursor is seen without one"


def test_an_edit_in_words() -> None:
    assert describe(Hunk(1, 4, "ab\n    c")) == "delete 3 characters, then type 4 keys"
    assert describe(Hunk(1, 1, "ab")) == "type 2 keys"
    assert describe(Hunk(1, 3, "")) == "delete 2 characters"
