"""A tree made in part out of another text's, against one that is made anew."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tree_sitter import Node, Point

from tests.support.examples import examples
from warmline_engine.retrieval.source import split
from warmline_engine.syntax import parsed as parsed_module
from warmline_engine.syntax.grammars import new_parser
from warmline_engine.syntax.parsed import N_KEPT, parsed

TEXT = Path(split.__file__).read_text()
PIECES = st.sampled_from(
    ["x", "é", "\n", " = 1\n", "def f():\n    pass\n", "(", '"""', "", "# no\n"]
)


def anew(text: str) -> Node:
    parser = new_parser("python")
    assert parser is not None
    return parser.parse(text.encode()).root_node


def told(node: Node) -> list[tuple[str, int, int, Point]]:
    """All that is used of a tree: types and places of its nodes, in order."""
    found: list[tuple[str, int, int, Point]] = []
    stack = [node]
    while stack:
        one = stack.pop()
        found.append((one.type, one.start_byte, one.end_byte, one.start_point))
        stack += reversed(one.children)
    return found


@settings(max_examples=examples(60), deadline=None)
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 200), PIECES), min_size=1, max_size=5)
)
def test_a_tree_made_in_part_is_that_of_the_text(edits: list[tuple[float, int, str]]) -> None:
    text = TEXT
    root = parsed("python", text.encode())
    assert root is not None
    whole = told(root)
    for place, n_removed, added in edits:
        start = int(place * len(text))
        text = text[:start] + added + text[start + n_removed :]
        found, expected = parsed("python", text.encode()), anew(text)
        assert found is not None
        assert found.has_error == expected.has_error
        # around an error the parser may choose otherwise than anew
        if not expected.has_error:
            assert told(found) == told(expected)
    assert told(root) == whole, "a tree that somebody holds stays as it is"


def test_what_was_parsed_lately_is_there_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(language: str) -> object:
        made.append(language)
        return new_parser(language)

    monkeypatch.setattr(parsed_module, "new_parser", counted)
    texts = [f"value = {'x' * k}\n".encode() for k in range(1, N_KEPT + 2)]
    for text in texts:
        parsed("python", text)
        parsed("python", text)
    assert len(made) == len(texts)
    parsed("python", texts[0])
    assert len(made) == len(texts) + 1


def test_another_language_and_another_text_are_no_help() -> None:
    assert parsed("python", b"a = 1\n" * 50) is not None
    found = parsed("javascript", b"let a = 1;\n" * 50)
    other = parsed("python", b"def g():\n    return 2\n")
    assert found is not None
    assert found.type == "program"
    assert other is not None
    assert told(other) == told(anew("def g():\n    return 2\n"))
    assert parsed("plain", b"text") is None
    empty = parsed("python", b"")
    assert empty is not None
    assert empty.child_count == 0


def test_threads_have_trees_of_their_own() -> None:
    text = TEXT.encode()
    first = parsed("python", text)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(parsed, "python", text).result()
    assert first is not None
    assert second is not None
    assert first.id != second.id
