"""Where completions end; the cursor is (|)."""

from __future__ import annotations

import pytest

from warmline_engine.decoding.adjacent_lines import AdjacentLines
from warmline_engine.decoding.stopping import Stopping


def check(text: str, generated: str, expected: str | None, multi_line: bool = True) -> None:
    """`generated` comes a character at a time, as from a model; `expected` is None where it goes on."""
    before, _, after = text.partition("(|)")
    stopping = Stopping(before, after, multi_line)
    for n in range(1, len(generated) + 1):
        stop = stopping.find(generated[:n])
        if stop is not None:
            assert generated[: stop.n_characters] == expected
            return
    assert expected is None


@pytest.mark.parametrize(
    ("text", "generated", "expected"),
    [
        ("x = (|)", "1 + 2\ny = 3\n", "1 + 2"),
        ("x = (|)", "1 + 2", None),
        ("foo()(|)", "\nbar()\n", ""),
        ("print((|))", "a,\nb", "a,"),
        ("(|)", "x = 1\n\n\ny", "x = 1"),
        ("def f():\n    (|)", "a = 1\n    b = 2\nc = 3", "a = 1\n    b = 2"),
        ("def f():\n    (|)\n    return x\n", "a = 1\n    return x\n", "a = 1"),
        ("def f():(|)\n", "\n    a = 1\n    return a\n\ndef g", "\n    a = 1\n    return a"),
        ("if x:\n        (|)", "a = 1\n    else:\n", "a = 1"),
        ("x = (|)", "no no no no no no no ", ""),
        ("(|)", "a = 1\na = 1\na = 1\na = 1\n", "a = 1\na = 1"),
        ("(|)", "if a:\n    b()\nif a:\n    b()\n", "if a:\n    b()"),
        ("(|)", "x\na\n\nb\nc\na\n\nb\nc\n", "x\na\n\nb\nc"),
        ("(|)", "a\nb\nc\na\nb\nd\n", None),
    ],
)
def test_stops(text: str, generated: str, expected: str | None) -> None:
    check(text, generated, expected)


def test_single_lines_only() -> None:
    check("def f():\n    (|)", "a = 1\n    b = 2\n", "a = 1", multi_line=False)


@pytest.mark.parametrize(
    ("text", "generated", "again"),
    [
        ("a = f()\n(|)\nb = 2\n", "a = f()", True),
        ("a = f()\n(|)\nb = 2\n", "b = 2\nc = 3", True),
        ("a = f()\n(|)\nb = 2\n", "\nb = 2", True),
        ("a = f()\n\n(|)\n\n\nb = 2\n", "a = f()", True),
        ("a = f()\n(|)\nb = 2\n", "b = 3", False),
        ("a = f()\n(|)\nb = 2\n", "c = 3\nb = 2", False),  # its own rule ends that
        ("    a = f()\n    (|)", "a = f()", True),
        ("    a = f()\n    (|)", "\n    a = f()", True),
        ("        a = f()\n    (|)", "a = f()", False),  # another column
        ("a = f()\na = (|)\n", "f()", False),  # begun by a person, who may well mean it
        ("[1, 2],\n(|)\n}\n", "[1, 2],", False),
        ("(|)", "a", False),
    ],
)
def test_an_adjacent_line_is_not_repeated(text: str, generated: str, again: bool) -> None:
    before, _, after = text.partition("(|)")
    assert AdjacentLines(before, after).are_repeated_by(generated) is again
