"""Splitting along syntax: nothing is lost, nothing is over the budget, broken code splits too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmline_engine.retrieval.source.split import header, split
from warmline_engine.syntax.grammars import GRAMMARS, LINES_ONLY, language_of, new_parser

PYTHON = '''import os

LIMIT = 3


class Store:
    """Keeps items.

    In memory.
    """

    def load(self, path: str) -> None:
        """Reads all items."""
        self.items = os.listdir(path)


@cached
def area(width, height):
    return width * height
'''
LANGUAGES = [*GRAMMARS, LINES_ONLY]
# what makes nested, broken and odd code in any of the languages
SHARDS = st.sampled_from(
    ["class A:\n", "def f(x):\n", "    return x\n", "{", "}", "(", "\n", "\r\n", " ", '"', "'''", "// c\n",
     "# c\n", "fn main() {\n", "func (s T) F() {\n", "public class B {\n", "x = 1;\n", "é", "日本", "\U0001f600",
     "\0", "\f", "@d\n", "namespace N\n", "end\n", "<?php\n"]
)  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
@given(shards=st.lists(SHARDS, max_size=60), budget=st.integers(4, 80))
def test_blocks_are_the_text(language: str, shards: list[str], budget: int) -> None:
    text = "".join(shards)
    blocks = split(text, language, budget).blocks
    assert "".join(block.text for block in blocks) == text
    assert all(0 < len(block.text.encode()) <= budget for block in blocks)
    place = 0
    for block in blocks:
        assert (block.start, text[block.start : block.end]) == (place, block.text)
        assert block.line == text[:place].count("\n")
        place = block.end


@pytest.mark.parametrize("language", GRAMMARS)
def test_each_grammar_is_there(language: str) -> None:
    assert new_parser(language) is not None


def test_a_definition_is_a_block_with_its_scopes() -> None:
    blocks = split(PYTHON, "python", budget=160).blocks
    load = next(block for block in blocks if "def load" in block.text)
    assert load.scopes == ("Store",)
    area = next(block for block in blocks if "def area" in block.text)
    assert area.text.startswith("@cached\n")
    assert area.scopes == ()


def test_signatures_are_what_others_need_to_know() -> None:
    found = {s.name: s for s in split(PYTHON, "python").signatures}
    assert set(found) == {"LIMIT", "Store", "load", "area"}
    assert found["LIMIT"].text == "LIMIT = 3\n"
    assert found["load"].scopes == ("Store",)
    assert found["load"].text == (
        'def load(self, path: str) -> None:\n    """Reads all items."""\n'
    )


def test_the_header_says_where_a_chunk_is_from() -> None:
    assert header("a/b.py", "python", ("Store", "load")) == "# a/b.py > Store > load\n"
    assert header("b.ts", "typescript", ()) == "// b.ts\n"


def test_a_language_goes_by_the_suffix() -> None:
    assert language_of("x/Y.PY") == "python"
    assert language_of("x.sh") == LINES_ONLY
    assert language_of("photo.png") is None
