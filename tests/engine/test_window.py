"""What an edit makes pending: its own tokens, and a few behind it that still tell of what stood there."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.window import N_BEHIND, Window
from warmline_engine.text.fim import find_template
from warmline_engine.text.tokenized_text import TokenizedText

TEXT = inspect.getsource(textwrap.wrap)


def read(model: LoadedModel, text: str, cursor: int) -> Window:
    window = Window(model, text, 0, len(text), cursor)
    while window.sequence.encode_pending(512):
        pass
    return window


def starts(model: LoadedModel, text: str) -> np.ndarray:
    return model.tokenizer.encode(text).starts


@pytest.mark.parametrize("is_suffix_first", [False, True], ids=["prefix first", "suffix first"])
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    place=st.floats(0, 1),
    n_removed=st.integers(0, 30),
    added=st.sampled_from(["", "x", "name", "\n", "é 𝒳", "def f(a):\n"]),
    cursor=st.floats(0, 1),
)
def test_the_first_tokens_behind_an_edit_elsewhere_are_encoded_with_it(
    is_suffix_first: bool,
    place: float,
    n_removed: int,
    added: str,
    cursor: float,
    model: LoadedModel,
) -> None:
    model = replace(model, layout=find_template(model.tokenizer, is_suffix_first))
    start, at = int(place * len(TEXT)), int(cursor * len(TEXT))
    end = min(len(TEXT), start + n_removed)
    window, plain = read(model, TEXT, at), read(model, TEXT, at)
    plain.n_behind = 0
    for edited in (window, plain):
        edited.edit(start, end, added)
    behind = start + len(added)
    now = window.tokenized.cursor
    halves = (0, now) if behind < now else (now, len(window.tokenized.text))
    known = starts(model, window.tokenized.text[slice(*halves)])
    first = int(np.searchsorted(known, behind - halves[0]))
    span = window.tokenized.prefix_span if behind < now else window.tokenized.suffix_span
    expected = set(plain.sequence.pending_positions().tolist())
    if end != at:
        expected |= set(range(*span)[first : first + N_BEHIND])
    assert set(window.sequence.pending_positions().tolist()) == expected
    assert window.sequence.tokens == plain.sequence.tokens
    assert (
        window.tokenized.ids
        == TokenizedText(model.tokenizer, model.layout, window.tokenized.text, now).ids
    )
    window.sequence.check()


def test_typing_at_the_cursor_encodes_nothing_behind_it(model: LoadedModel) -> None:
    for is_suffix_first in (False, True):
        served = replace(model, layout=find_template(model.tokenizer, is_suffix_first))
        at = TEXT.index("wrap")
        window = read(served, TEXT, at)
        window.edit(at, at, "q")
        first, last = window.tokenized.suffix_span
        pending = window.sequence.pending_positions()
        assert len(pending)
        assert not ((first <= pending) & (pending < last)).any()
