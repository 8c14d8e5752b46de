"""Fitting a completion takes steps in proportion to the lengths of the document and of the completion."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.growth import assert_grows_slowly
from tests.support.syntax import syntax_of
from warmline_engine.fitting.fit import Target, fit

FITTED: dict[str, Callable[[int], tuple[str, str, str]]] = {
    "a long dict literal": lambda n: (
        "x = {\n" + "    'a': [1, 2],\n" * n + "    ",
        "'b': 1,\n    'c': [\n    1,\n",
        "\n" + "    'd': 1,\n" * n + "}\n",
    ),
    "a long line": lambda n: ("x = f(" + "(a), " * n, "(b), c))", ")" * n),
    "blank lines around": lambda n: ("def f():\n" + "\n" * n + "    ", "    a = 1", "\n" * n + "b\n"),
    "windows line ends": lambda n: ("a = 1\r\n" * n, "b = 1\nc = 2", "\r\n" * n),
    "a long completion": lambda n: ("if x:\n    ", "    a = (1,\n" * n, "\n"),
    "closers": lambda n: ("f(", ")" * n, ")" * n),
    "one long word": lambda n: ("x = ", "a" * n, "a" * n + "b"),
}  # fmt: skip


@pytest.mark.parametrize("name", FITTED)
def test_fitting(name: str) -> None:
    def run(made: tuple[str, str, str]) -> None:
        before, completion, after = made
        text = before + after
        fit(Target(text, len(before), "", syntax_of(text)), completion, 12)

    syntax_of("x")  # the grammar is loaded outside the count
    # long enough that nothing is looked at as a whole
    assert_grows_slowly(run, FITTED[name], 1024, 2)
