"""A tree that follows edits against one that is made anew; what fits into a file and what breaks it."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tree_sitter import Node

from warmline_engine.syntax import tree as tree_module
from warmline_engine.syntax.grammars import new_parser
from warmline_engine.syntax.tree import LINES, MOST_BYTES, N_LATE, Syntax, SyntaxAt, parse

FILE = textwrap.dedent(
    """\
    import os


    def size(path, unit="µ"):
        if path:
            return os.stat(path).st_size

        return 0


    class Reader:
        names = ["a", "b"]

        def read(self):
            return {name: size(name) for name in self.names}
    """
)
PIECES = st.sampled_from(
    ["(", ")", "\n", "    ", "x = 1\n", "é", '"', "def f():\n", ":", "return", "", "#", "]"]
)

CLOSED = {"(": ["()"]}


@pytest.fixture(autouse=True)
def all_the_time_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "LINES_S", 1e9)


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


def syntax_of(text: str) -> Syntax:
    found = Syntax.of("python", text)
    assert found is not None
    return found


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
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
        found = SyntaxAt(syntax, cursor)
        offered = data.draw(PIECES)
        tried = [offered, *CLOSED.get(offered, [])]
        following = text[cursor:].partition("\n")[0]
        shared = [n for n in range(1, len(offered) + 1) if following.startswith(offered[-n:])]
        tried += [offered[: -max(shared)]] if shared and offered not in CLOSED else []
        expected = any(is_whole(text[:cursor], one, text[cursor:]) for one in tried)
        assert found.fits(offered) == expected
        lines = [(line, ""), *((code, other) for other in LINES)]
        assert found.tells == any(is_whole(text[:a], one, text[rest:]) for a, one in lines)


AT = FILE.index("    return 0")


@pytest.mark.parametrize(
    ("offered", "fitting"),
    [
        ("    x = (1, 2)", "    x = (1, 2)"),
        ("    x = (1, 2", ""),
        ("    x = 1\n    y = [x,", "    x = 1"),
        ("    x = 1\n\n    y = f(\n        x,", "    x = 1"),
        ("    f(\n        x,\n    )", "    f(\n        x,\n    )"),
        ("    if x:", "    if x:"),  # its block is still to be written
        ("    x = [f(", "    x = [f("),  # what stands in it, likewise
        ('    x = "', ""),
        (
            "    x = 1\n    if x:",
            "    x = 1",
        ),  # of several lines none opens what nobody has written
        ("    x = 1\n    for y in z:\n        if y:", "    x = 1"),
        ("    x = 1\n    y = f(", "    x = 1"),
        ("    x = 1\n    if y:\n        x = 2", "    x = 1\n    if y:\n        x = 2"),
    ],
)
def test_as_much_is_left_as_fits(offered: str, fitting: str) -> None:
    text = FILE[:AT] + "\n" + FILE[AT:]
    found = SyntaxAt(syntax_of(text), AT)
    assert found.fitting(offered) == fitting


@pytest.mark.parametrize(
    ("line", "fits", "does_not"),
    [
        ("if names:", "while names:", "names.sort()"),
        ("print(", "sorted(", "sorted(names)"),
        ("found = [", "found = x[", "found = []"),
        ("def inner():", "with names:", "return"),
    ],
)
def test_what_opens_what_is_below_is_put_back(line: str, fits: str, does_not: str) -> None:
    body = "        names,\n    )\n" if line.endswith("(") else "        names\n"
    body = body if not line.endswith("[") else "        names\n    ]\n"
    text = f"def f(names):\n    x = 1\n    \n{body}    return x\n"
    found = SyntaxAt(syntax_of(text), text.index("    \n") + 4)
    assert found.tells
    assert found.fitting(line) == line
    assert found.fitting(fits) == fits
    assert found.fitting(does_not) == ""


def test_several_lines_may_open_what_stands_below() -> None:
    text = "def f(names):\n    \n        names.sort()\n"
    found = SyntaxAt(syntax_of(text), text.index("    \n") + 4)
    assert found.fitting("x = 1\n    if x:") == "x = 1\n    if x:"
    assert found.fitting("x = 1\n    y = 2") == ""


def test_nothing_is_told_where_a_bracket_above_is_still_open() -> None:
    text = "def f(names):\n    x = g(\n        1,\n        \n    return x\n"
    found = SyntaxAt(syntax_of(text), text.index("        \n") + 8)
    assert not found.tells
    assert found.fitting("2,") == "2,"
    assert found.fitting("2)") == "2)"


def test_where_other_lines_cannot_be_tried_in_time_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "def f(names):\n    x = 1\n    \n        names.sort()\n"
    cursor = text.index("    \n") + 4
    assert SyntaxAt(syntax_of(text), cursor).tells
    monkeypatch.setattr(tree_module, "LINES_S", 0.0)
    assert not SyntaxAt(syntax_of(text), cursor).tells


def test_columns_tell_nothing_in_a_language_of_braces() -> None:
    syntax = Syntax.of("javascript", "function f() {\n  a();\n  \n      b();\n}\n")
    assert syntax is not None
    assert SyntaxAt(syntax, syntax._text.index("  \n") + 2).fitting("c();") == "c();"


def test_what_is_assumed_stands_before_it() -> None:
    text = FILE[:AT] + "\n" + FILE[AT:]
    found = SyntaxAt(syntax_of(text), AT, "    x = f(")
    assert found.fitting("1)") == "1)"
    assert not found.fits("1")


def test_what_the_rest_of_the_line_says_may_be_offered_again() -> None:
    text = FILE[:AT] + "    x = f()\n" + FILE[AT:]
    found = SyntaxAt(syntax_of(text), AT + len("    x = f("))
    assert found.fitting("1, g(2))") == "1, g(2))"
    assert not found.fits("1, g(2)))")
    assert found.fits("1")


def test_the_line_at_the_cursor_may_be_broken_but_no_other() -> None:
    begun = "    x = size("
    text = FILE[:AT] + begun + "\n" + FILE[AT:]
    cursor = AT + len(begun)
    found = SyntaxAt(syntax_of(text), cursor)
    assert found.fits('"a")')
    elsewhere = SyntaxAt(syntax_of("y = (\n" + text), cursor + 6)
    assert not elsewhere.fits("1")
    assert elsewhere.fitting("1") == "1", "whose fault it is cannot be told"


@pytest.mark.parametrize("language", ["javascript", "javascriptreact", "typescript", "java", "c"])
def test_a_block_may_be_opened_between_braces_too(language: str) -> None:
    text = "int f() {\n\n}\n" if language in "java c" else "function f() {\n\n}\n"
    text = f"class A {{ {text} }}" if language == "java" else text
    syntax = Syntax.of(language, text)
    assert syntax is not None
    found = SyntaxAt(syntax, text.index("\n") + 1)
    assert found.fits("  if (x) {")
    assert found.fits("  f(x);")
    assert not found.fits("  if (x) }")
    assert not found.fits("  f((x);")


def test_what_takes_too_long_tells_nothing_and_is_left_alone_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = "    x = f(\n))"
    assert SyntaxAt(syntax_of(FILE), AT).fitting(broken) == ""
    monkeypatch.setattr(tree_module, "MOST_S", -1.0)
    long = FILE * 40  # it is asked about the time now and then only
    late = syntax_of(long)
    for _ in range(N_LATE):
        assert SyntaxAt(late, AT).fitting(broken) == broken
    monkeypatch.setattr(tree_module, "MOST_S", 10.0)
    assert SyntaxAt(late, AT).fitting(broken) == broken
    assert SyntaxAt(syntax_of(long), AT).fitting(broken) == "", "another document is as before"
    assert parse(late._parser, FILE) is not None, "the parser, too"


def test_no_grammar_and_huge_texts_tell_nothing() -> None:
    assert Syntax.of("klingon", FILE) is None
    huge = syntax_of("x = 1\n" * (MOST_BYTES // 6 + 1))
    assert SyntaxAt(huge, 0).fitting("(") == "("
