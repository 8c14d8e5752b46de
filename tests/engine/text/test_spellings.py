"""Tokens by what they spell, against trying every token of the vocabulary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tokenizer_families import NAMES, SAMPLE, load
from warmline_engine.text.spellings import Spellings

cuts = st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(1, 9)).map(
    lambda cut: SAMPLE[cut[0] : cut[0] + cut[1]]
)


@pytest.mark.parametrize("name", NAMES)
@given(text=st.one_of(cuts, st.text(min_size=1, max_size=3)))
def test_agreeing_tokens_are_all_that_go_on_or_begin_a_text(name: str, text: str) -> None:
    tokenizer = load(name)
    expected = [
        token
        for token, spelled in tokenizer.texts().items()
        if spelled.startswith(text) or text.startswith(spelled)
    ]
    assert Spellings(tokenizer).prefix_compatible(text).tolist() == sorted(expected)


@pytest.mark.parametrize("name", NAMES)
@given(text=cuts)
def test_what_can_be_spelled_can_be_from_each_of_its_characters_on(name: str, text: str) -> None:
    spellings = Spellings(load(name))
    if spellings.can_spell(text):
        assert all(len(spellings.prefix_compatible(text[k:])) for k in range(len(text)))


@pytest.mark.parametrize("name", NAMES)
def test_code_can_be_spelled_and_parts_of_characters_are_no_text(name: str) -> None:
    tokenizer = load(name)
    assert Spellings(tokenizer).can_spell("self.measure_area (x) ==\t'1'")
    assert not any("\ufffd" in text for text in tokenizer.texts().values())
    # controls are no text, whatever they look like
    assert not set(tokenizer.texts()) & tokenizer.control_ids
