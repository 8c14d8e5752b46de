"""Completions made to fit; the cursor is (|)."""

from __future__ import annotations

import pytest

from warmline_lsp import syntax
from warmline_lsp.trim import trim


def check(text: str, completion: str, expected: str, max_lines: int = 10) -> None:
    offset = text.index("(|)")
    text = text.replace("(|)", "", 1)
    assert trim("python", text, offset, completion, max_lines) == expected


@pytest.mark.parametrize(
    ("text", "completion", "expected"),
    [
        ("x = (|)", "1", "1"),
        ("x = (|)\n", "1\n", "1"),
        ("print((|))", "name)", "name"),
        ("print((|))", "f(name))", "f(name)"),
        ("print((|))", "name", "name"),
        ("f(a, (|)b)", "c, b)", "c, "),
        ("x = [(|)]", "1, 2]", "1, 2"),
        ('x = "(|)"', 'name"', "name"),
        ("def f():\n    (|)\n    return x\n", "x = 1\n    return x", "x = 1"),
        ("def f():\n    (|)\n    return x\n", "return x", ""),
        ("def f():\n    (|)", "    return 1", "return 1"),
        ("def f():\n    (|)", "a = 1\n    b = (2,", "a = 1"),
        ("def f():\n    (|)", "a = 1\n    b = 2", "a = 1\n    b = 2"),
        ("x = 1\r\ny = (|)\r\n", "2", "2"),
        ("def f():\r\n    (|)\r\n", "a = 1\n    b = 2", "a = 1\r\n    b = 2"),
        ("foo((|), 1)", "a,\n    b", "a"),
        ("x(|)", "   \n  ", ""),
    ],
)
def test_trim(text: str, completion: str, expected: str) -> None:
    check(text, completion, expected)


def test_lines_are_counted() -> None:
    check("(|)", "a = 1\nb = 2\nc = 3", "a = 1\nb = 2", max_lines=2)


@pytest.mark.parametrize(
    ("text", "is_comment", "is_string"),
    [
        ("x = 1  # say (|)", True, False),
        ("x = 'say (|)'", False, True),
        ("x = f'say {na(|)}'", False, False),
        ("x = (|)", False, False),
        ("'''doc\n(|)\n'''", False, True),
        ("x = 'é𝒳'  # (|)", True, False),
    ],
)
def test_comments_and_strings_are_known(text: str, is_comment: bool, is_string: bool) -> None:
    offset = text.index("(|)")
    place = syntax.place_of("u", "python", text.replace("(|)", ""), offset)
    assert place == syntax.Place(is_comment, is_string)


def test_a_language_without_grammar_has_no_place() -> None:
    assert syntax.place_of("u", "cobol", "x", 0) is None
