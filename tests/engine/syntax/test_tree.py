"""A tree that follows edits, and what fits into it, against one that is made anew."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tree_sitter import Node

from tests.support.examples import examples
from tests.support.syntax import FILE, syntax_of
from warmline_engine.syntax import syntax_context as place_module
from warmline_engine.syntax.grammars import new_parser
from warmline_engine.syntax.syntax_context import BLOCK_OPENERS, LINES, SECOND_LINES, SyntaxContext

PIECES = st.sampled_from(
    ["(", ")", "\n", "    ", "x = 1\n", "é", '"', "def f():\n", ":", "return", "", "#", "]"]
)

CLOSED = {"(": ["()"]}


@pytest.fixture(autouse=True)
def all_steps_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_module, "LINES_STEPS", 10**9)


def is_whole(before: str, put: str, behind: str) -> bool:
    """By a tree that is made anew, all of which is gone through."""
    parser = new_parser("python")
    assert parser is not None
    root = parser.parse(f"{before}{put}{behind}".encode()).root_node
    place = len((before + put.rstrip()).encode())
    return not root.has_error and all(stands_even(block, place) for block in blocks_in(root))


def blocks_in(node: Node) -> list[Node]:
    own = [node] if node.type in ("module", "block") else []
    return own + [block for child in node.children for block in blocks_in(child)]


def stands_even(block: Node, place: int) -> bool:
    statements = [child for child in block.named_children if child.type != "comment"]
    before = [s for s in statements if s.start_byte < place][-1:]
    behind = [s for s in statements if place <= s.start_byte][:1]
    return all(
        a.end_point.row == b.start_point.row or a.start_point.column == b.start_point.column
        for a in before
        for b in behind
    )


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    data=st.data(),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), PIECES), max_size=6),
)
def test_a_tree_that_follows_edits_is_that_of_the_text(
    data: st.DataObject, edits: list[tuple[float, int, str]]
) -> None:
    text, syntax = FILE, syntax_of(FILE)
    for place, n_removed, added in edits:
        start = int(place * len(text))
        end = min(len(text), start + n_removed)
        text = text[:start] + added + text[end:]
        syntax.edit(start, end, added, text)
        cursor = data.draw(st.integers(0, len(text)))
        line = text.rfind("\n", 0, cursor) + 1
        rest = text.find("\n", cursor)
        rest = len(text) if rest < 0 else rest
        code = line + len(text[line:rest]) - len(text[line:rest].lstrip())
        found = SyntaxContext(syntax, cursor)
        offered = data.draw(PIECES)
        tried = [offered, *CLOSED.get(offered, [])]
        following = text[cursor:].partition("\n")[0]
        shared = [n for n in range(1, len(offered) + 1) if following.startswith(offered[-n:])]
        tried += [offered[: -max(shared)]] if shared and offered not in CLOSED else []
        expected = any(is_whole(text[:cursor], one, text[cursor:]) for one in tried)
        assert found.fits(offered) == expected
        below = next((one for one in text[rest:].split("\n")[1:] if one.strip()), "")
        inside = (len(below) - len(below.lstrip()) - (code - line)) // 2
        deeper = below[: code - line + inside]
        nested = (
            [f"{a}\n{deeper}{b}" for a in BLOCK_OPENERS for b in SECOND_LINES] if inside > 0 else []
        )
        lines = [(line, ""), *((code, other) for other in [*LINES, *nested])]
        assert found.is_decidable == any(is_whole(text[:a], one, text[rest:]) for a, one in lines)
