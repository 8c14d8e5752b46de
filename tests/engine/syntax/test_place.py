"""What fits into a file and what breaks it; what a file lacks."""

from __future__ import annotations

import ast

import pytest

from tests.support.syntax import AT, FILE, syntax_of
from warmline_engine.syntax import syntax_context as place_module
from warmline_engine.syntax import tree as tree_module
from warmline_engine.syntax.syntax_context import SyntaxContext
from warmline_engine.syntax.tree import MAX_BYTES, N_LATE, Syntax, parse


@pytest.fixture(autouse=True)
def all_steps_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_module, "LINES_STEPS", 10**9)


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
    found = SyntaxContext(syntax_of(text), AT)
    assert found.fitting(offered) == fitting


@pytest.mark.parametrize(
    ("line", "fits", "does_not"),
    [
        ("if names:", "while names:", "names.sort()"),
        ("print(", "sorted(", "names"),
        ("found = [", "found = x[", "found = x"),
        ("def inner():", "with names:", "return"),
    ],
)
def test_what_opens_what_is_below_is_put_back(line: str, fits: str, does_not: str) -> None:
    body = "        names,\n    )\n" if line.endswith("(") else "        names\n"
    body = body if not line.endswith("[") else "        names\n    ]\n"
    text = f"def f(names):\n    x = 1\n    \n{body}    return x\n"
    found = SyntaxContext(syntax_of(text), text.index("    \n") + 4)
    assert found.is_decidable
    assert found.fitting(line) == line
    assert found.fitting(fits) == fits
    assert found.fitting(does_not) == ""


def test_several_lines_may_open_what_stands_below() -> None:
    text = "def f(names):\n    \n        names.sort()\n"
    found = SyntaxContext(syntax_of(text), text.index("    \n") + 4)
    assert found.fitting("x = 1\n    if x:") == "x = 1\n    if x:"
    assert found.fitting("x = 1\n    y = 2") == ""


def at(text: str) -> SyntaxContext:
    """The place at the mark."""
    return SyntaxContext(syntax_of(text.replace("⟦⟧", "")), text.index("⟦⟧"))


@pytest.mark.parametrize(
    ("text", "offered", "fitting"),
    [
        ("x = 1\n⟦⟧\n    [1, 2],\n)\n", "y = f(x, 2)", "y = f("),
        ("x = 1\n⟦⟧\n    [1, 2],\n)\n", "y = f(x)\nz = g(h(x))", "y = f(x)\nz = g(h("[:-2]),
        ("x = 1\n⟦⟧\n    1,\n]\n", "assert f(1, 2) == [3, 4]", "assert f(1, 2) == ["),
        ("x = 1\n⟦⟧\n    1,\n]\n", "assert f(1, 2) == 3", ""),
        ("x = 1\n⟦⟧\n    1: 2,\n}\n", "y = {3: 4}", "y = {"),
        ("x = 1\n⟦⟧\ny = 2\n", "z = f(1", ""),  # nothing below closes it
    ],
)
def test_what_closes_below_is_opened_by_as_much_as_there_is(
    text: str, offered: str, fitting: str
) -> None:
    found = at(text)
    assert found.is_decidable
    assert found.fitting(offered) == fitting
    if fitting:
        ast.parse(text.replace("⟦⟧", fitting))


@pytest.mark.parametrize(
    ("text", "offered", "before"),
    [
        ("def f(x):\n    a = 1\n    ⟦⟧\n        g(x)\n", "y = 1", "y = 1\n    "),
        ("def f(x):\n    a = 1\n    ⟦⟧\n        g(x)\n", "y = (1", ""),
        ("def f(x):\n    a = 1\n    ⟦⟧\n        g(x)\n", "y = 1\n    z = (", "y = 1\n    "),
        # two of them, one in the other
        ("def f(x):\n    a = 1\n    ⟦⟧\n            g(x)\n", "y = 1", "y = 1\n    "),
        ("def f(x):\n    a = 1\n    ⟦⟧\n            g(x)\n", "y = 1\n    for z in x:",
         "y = 1\n    for z in x:\n        "),
        ("x = 1\n⟦⟧\n        return 2\n", "def f():\n    y = 1", "def f():\n    y = 1\n    "),
        # nothing is lacking, or no block
        ("def f(x):\n    ⟦⟧\n    g(x)\n", "y = 1", None),
        ("def f(x):\n    ⟦⟧\n        1,\n    )\n", "y = 1", None),
        # not at the beginning of a line
        ("def f(x):\n    y = ⟦⟧\n        g(x)\n", "1", None),
    ],
)  # fmt: skip
def test_a_line_that_opens_a_block_is_asked_for_where_one_is_lacking(
    text: str, offered: str, before: str | None
) -> None:
    found = at(text).before_opener(offered)
    assert found == before
    if before is not None:
        line = text[: text.index("⟦⟧")].rpartition("\n")[2] + before
        depth = len(line.rpartition("\n")[2])
        below = text[text.index("⟦⟧") :].split("\n")[1]
        nested = (
            "if x:"
            if len(below) - len(below.lstrip()) - depth < 8
            else f"if x:\n{' ' * (depth + 4)}if x:"
        )
        ast.parse(text.replace("⟦⟧", before + nested))


def test_other_languages_open_blocks_in_their_own_way() -> None:
    syntax = Syntax.of("javascript", "function f() {\n  \n    b();\n  }\n}\n")
    assert syntax is not None
    place = SyntaxContext(syntax, syntax.text.index("  \n") + 2)
    assert place.is_decidable
    assert place.before_opener("a();") is None


def test_nothing_is_told_where_a_bracket_above_is_still_open() -> None:
    text = "def f(names):\n    x = g(\n        1,\n        \n    return x\n"
    found = SyntaxContext(syntax_of(text), text.index("        \n") + 8)
    assert not found.is_decidable
    assert found.fitting("2,") == "2,"
    assert found.fitting("2)") == "2)"


def test_where_other_lines_take_too_many_steps_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "def f(names):\n    x = 1\n    \n        names.sort()\n"
    cursor = text.index("    \n") + 4
    assert SyntaxContext(syntax_of(text), cursor).is_decidable
    monkeypatch.setattr(place_module, "LINES_STEPS", 0)
    assert not SyntaxContext(syntax_of(text), cursor).is_decidable


def test_columns_tell_nothing_in_a_language_of_braces() -> None:
    syntax = Syntax.of("javascript", "function f() {\n  a();\n  \n      b();\n}\n")
    assert syntax is not None
    assert SyntaxContext(syntax, syntax.text.index("  \n") + 2).fitting("c();") == "c();"


def test_what_is_assumed_stands_before_it() -> None:
    text = FILE[:AT] + "\n" + FILE[AT:]
    found = SyntaxContext(syntax_of(text), AT, "    x = f(")
    assert found.fitting("1)") == "1)"
    assert not found.fits("1")


def test_what_the_rest_of_the_line_says_may_be_offered_again() -> None:
    text = FILE[:AT] + "    x = f()\n" + FILE[AT:]
    found = SyntaxContext(syntax_of(text), AT + len("    x = f("))
    assert found.fitting("1, g(2))") == "1, g(2))"
    assert not found.fits("1, g(2)))")
    assert found.fits("1")


def test_the_line_at_the_cursor_may_be_broken_but_no_other() -> None:
    begun = "    x = size("
    text = FILE[:AT] + begun + "\n" + FILE[AT:]
    cursor = AT + len(begun)
    found = SyntaxContext(syntax_of(text), cursor)
    assert found.fits('"a")')
    elsewhere = SyntaxContext(syntax_of("y = (\n" + text), cursor + 6)
    assert not elsewhere.fits("1")
    assert elsewhere.fitting("1") == "1", "whose fault it is cannot be told"


@pytest.mark.parametrize("language", ["javascript", "javascriptreact", "typescript", "java", "c"])
def test_a_block_may_be_opened_between_braces_too(language: str) -> None:
    text = "int f() {\n\n}\n" if language in "java c" else "function f() {\n\n}\n"
    text = f"class A {{ {text} }}" if language == "java" else text
    syntax = Syntax.of(language, text)
    assert syntax is not None
    found = SyntaxContext(syntax, text.index("\n") + 1)
    assert found.fits("  if (x) {")
    assert found.fits("  f(x);")
    assert not found.fits("  if (x) }")
    assert not found.fits("  f((x);")


def test_what_takes_too_long_tells_nothing_and_is_left_alone_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = "    x = f(\n))"
    assert SyntaxContext(syntax_of(FILE), AT).fitting(broken) == ""
    monkeypatch.setattr(tree_module, "MAX_PARSE_STEPS", 0)
    long = FILE * 40  # the parser asks now and then only whether to go on
    late = syntax_of(long)
    for _ in range(N_LATE):
        assert SyntaxContext(late, AT).fitting(broken) == broken
    monkeypatch.setattr(tree_module, "MAX_PARSE_STEPS", 10**9)
    assert SyntaxContext(late, AT).fitting(broken) == broken
    assert SyntaxContext(syntax_of(long), AT).fitting(broken) == "", "another document is as before"
    assert parse(late._parser, FILE) is not None, "the parser, too"


def test_no_grammar_and_huge_texts_tell_nothing() -> None:
    assert Syntax.of("klingon", FILE) is None
    huge = syntax_of("x = 1\n" * (MAX_BYTES // 6 + 1))
    assert SyntaxContext(huge, 0).fitting("(") == "("
