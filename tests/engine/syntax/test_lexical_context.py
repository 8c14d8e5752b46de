"""Whether a place is in a comment or in a string; the cursor is (|)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.syntax import syntax_of
from warmline_engine.syntax import tree as tree_module
from warmline_engine.syntax.lexical_context import LexicalContext, contexts_within, lexical_context
from warmline_engine.syntax.tree import N_LATE, Syntax

CODE, COMMENT, STRING = (
    LexicalContext(),
    LexicalContext(is_comment=True),
    LexicalContext(is_string=True),
)


def found(text: str, language: str = "python") -> LexicalContext | None:
    offset = text.index("(|)")
    syntax = Syntax.of(language, text.replace("(|)", "", 1))
    assert syntax is not None
    return lexical_context(syntax, offset)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1  # say (|)", COMMENT),
        ("x = 'say (|)'", STRING),
        ("x = f'say {na(|)}'", CODE),
        ("x = (|)", CODE),
        ("'''doc\n(|)\n'''", STRING),
        ("x = 'é𝒳'  # (|)", COMMENT),
        ("x = 1  # say\r\n(|)\r\n", CODE),
        ("# say(|)\r\nx = 1\r\n", COMMENT),
        ('x = ("a" (|)"b")\n', CODE),
    ],
)
def test_comments_and_strings_are_known(text: str, expected: LexicalContext) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("javascript", "f(); // a(|)\n", COMMENT),
        ("javascript", "f(); /* a(|) */\n", COMMENT),
        ("javascript", "/* a */(|) f();\n", CODE),
        ("javascript", "let x = 'a(|)';\n", STRING),
        ("javascriptreact", "let x = <b>{`a${y(|)}`}</b>;\n", CODE),
        ("typescript", "let x: string(|) = y;\n", CODE),
        ("typescriptreact", "let x = <b>{'a(|)'}</b>;\n", STRING),
        ("go", 'package p\nvar x = "a(|)"\n', STRING),
        ("go", "package p\nvar x = `a(|)`\n", STRING),
        ("rust", "fn f() { // a(|)\n}\n", COMMENT),
        ("rust", 'fn f() { g("a(|)"); }\n', STRING),
        ("java", 'class A { String x = "a(|)"; }\n', STRING),
        ("c", "char x = 'a(|)';\n", STRING),
        ("cpp", 'auto x = R"(a(|))";\n', STRING),
        ("csharp", 'class A { string x = $"{y(|)}"; }\n', CODE),
        ("ruby", 'x = "a(|)"\n', STRING),
        ("php", "<?php $x = 'a(|)';\n", STRING),
    ],
)
def test_they_are_known_in_other_languages(
    language: str, text: str, expected: LexicalContext
) -> None:
    assert found(text, language) == expected


@pytest.mark.parametrize(
    ("virtual_text", "n_replaced", "expected"),
    [
        ("", 0, CODE),
        ("1  # say", 0, COMMENT),
        ("'say", 0, STRING),
        ("1", 3, CODE),
        ("2\ny = 'a", 3, STRING),
    ],
)
def test_virtual_text_counts(virtual_text: str, n_replaced: int, expected: LexicalContext) -> None:
    syntax = syntax_of("x = foo'\n")
    assert lexical_context(syntax, 4, virtual_text, n_replaced) == expected
    assert lexical_context(syntax, 4) == CODE, "the tree is as it was"


def test_each_place_in_a_completion_has_a_context() -> None:
    contexts = contexts_within(syntax_of("é = \ny = 1\n"), 4, "", "'𝒳' # a")
    assert contexts == [STRING, STRING, CODE, CODE, COMMENT, COMMENT]


def test_deep_nesting_is_walked_once() -> None:
    assert lexical_context(syntax_of(20_000 * "[" + "'a"), 5) in (CODE, None)


def test_a_late_parse_is_not_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    parses: list[str] = []
    monkeypatch.setattr(tree_module, "parse", lambda *_: parses.append("late"))
    syntax = syntax_of("x")
    for k in range(10):
        syntax.edit(0, 1, "y", f"y{k}")
        assert lexical_context(syntax, 0) is None
    assert len(parses) == N_LATE


@given(
    before=st.lists(
        st.sampled_from(["x = 1\n", "# é\n", 's = """𝒳\n', '"""\n', 'f("a")  # c\r\n', "\n"])
    ),
    edits=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 4),
            st.sampled_from(["", "x", "#", '"', '"""', "\n", "é𝒳", "f'{a}'"]),
        ),
        max_size=5,
    ),
    at=st.floats(0, 1),
)
def test_a_tree_that_follows_edits_is_one_made_anew(
    before: list[str], edits: list[tuple[float, int, str]], at: float
) -> None:
    text = "".join(before)
    kept = syntax_of(text)
    lexical_context(kept, 0)
    for place, n_removed, new in edits:
        start = int(place * len(text))
        end = min(len(text), start + n_removed)
        text = text[:start] + new + text[end:]
        kept.edit(start, end, new, text)
        offset = int(at * len(text))
        assert lexical_context(kept, offset) == lexical_context(syntax_of(text), offset)
