"""Completions made to fit; the cursor is (|)."""

from __future__ import annotations

import pytest

from tests.support.syntax import syntax_of
from warmline_engine.fitting.fit import Target, fit
from warmline_engine.syntax.tree import Budget, Syntax


def fitted(text: str, completion: str, max_lines: int = 10, language: str = "python") -> str:
    offset = text.index("(|)")
    text = text.replace("(|)", "", 1)
    return fit(Target(text, offset, "", Syntax.of(language, text)), completion, max_lines)


def check(text: str, completion: str, expected: str, max_lines: int = 10) -> None:
    assert fitted(text, completion, max_lines) == expected


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
        # what follows is not said again
        ("a = 1\n(|)\nb = 2\nc = 3\n", "x = 0\nb = 2\nc = 3", "x = 0"),
        ("a = 1\n(|)\n\n\nbbb = 2\n", "x = 0\n\nbbb = 2", "x = 0"),
        ("a = 1\n(|)\nb = 2\n", "b = 2\nc = 3", ""),
        ("if x:\n    (|)\nelse:\n    z()\n", "y()\nelse:\n    w()", "y()"),
        ("x = [\n    1,\n    (|)\n]\n", "2,\n]", "2,"),
        ("f(\n    (|)\n)\n", "a,\n    b,\n)", "a,\n    b,"),
        ("d = {\n    'a': (|)\n}\n", "1,\n}", "1,"),
        # closers and quotes that are there
        ("f(g((|)))", "x))", "x"),
        ("f(g((|)))", "h(x)))", "h(x)"),
        ("f((|))", "x, (1, 2))", "x, (1, 2)"),
        ("x = d[(|)]", "'k']", "'k'"),
        ("x = {(|)}", "1: {2}}", "1: {2}"),
        ("f((|)", "x)", "x)"),
        # in the middle of a line only a line, and not what the line says
        ("x = (|) + 1", "2 + 1", "2"),
        ("return (|)name", "self.name", "self."),
        ("for (|) in y:\n", "x in y:\n    pass", "x"),
        ("print((|))  # say", "x)  # say", "x"),
        # indentation is neither lost nor doubled
        ("    (|)", "  x = 1", "x = 1"),
        ("class A:\n    def f(self):\n        (|)\n", "        return 1", "return 1"),
        ("if x:\n(|)", "    y = 1\n    z = 2", "    y = 1\n    z = 2"),
        ("if x:\n\t(|)", "y = 1\n\tz = 2", "y = 1\n\tz = 2"),
        ("def f():(|)", "\n    return 1", "\n    return 1"),
        # what ends with a bracket stays where it is closed below
        ("x = 1\n(|)\n    [1],\n)\n", "t = f(x)\ny = g(", "t = f(x)\ny = g("),
        ("x = 1\n(|)\ny = 2\n", "t = f(x)\ny = g(", "t = f(x)"),
        ("x = 1\n(|)\n    [1],\n)\n", "t = f(x)\ny = g[", "t = f(x)"),
        # line ends are those of the file
        ("if x:\r\n    (|)\r\ny = 1\r\n", "a = 1\r\n    b = 2\r\ny = 1", "a = 1\r\n    b = 2"),
        ("x = (|)\r\n", "1\r\n", "1"),
        ("a = 1\r\nb = 2\nif x:\n    (|)\nc = 3\n", "a = 1\n    b = 2", "a = 1\n    b = 2"),
        ("a = 1\nif x:\r\n    (|)\r\nc = 3\n", "a = 1\n    b = 2", "a = 1\r\n    b = 2"),
        ("a = 1\r\nb = 1\r\nif x:\n    (|)", "a = 1\n    b = 2", "a = 1\r\n    b = 2"),
        ("a = 1\r\nb = 1\nif x:\n    (|)", "a = 1\r\n    b = 2", "a = 1\n    b = 2"),
        ("if x:\r    (|)\ry = 1\r", "a = 1\n    b = 2\ny = 1", "a = 1\r    b = 2"),
        ("f(\r    (|)\r)\r", "a,\n    b,\n)", "a,\r    b,"),
        ("a\u2028b\x85 = 1\nif x:\n    (|)\n", "a = 1\r    b = 2", "a = 1\n    b = 2"),
        # a line that is rightly deeper stays so
        ("if x:\n    if y:\n    (|)", "    z = 1", "    z = 1"),
        (
            "if x:\n    if y:  # why\n    (|)\n",
            "    z = 1\n        w = 2",
            "    z = 1\n        w = 2",
        ),
        ("if x:\n    for y in z:\n        y()\n    (|)\n", "    w()", "    w()"),
        ("if x:\n\tif y:\n\t(|)", "\tz = 1", "\tz = 1"),
        ("def f():\n    (|)", "    a = 1\n        b = 2", "    a = 1\n        b = 2"),
        ("def f():\n    (|)", "    a = 1\n    b = 2", "a = 1\n    b = 2"),
        ("def f():\n    a = 1\n    (|)", "    b = 1", "b = 1"),
        # nothing is offered where nothing is left
        ("return x(|)", "", ""),
        ("foo()(|)\nbar()\n", "\nbar()", ""),
    ],
)
def test_trim(text: str, completion: str, expected: str) -> None:
    check(text, completion, expected)


def test_indentation_is_that_of_the_lines_around_in_other_languages() -> None:
    for text, completion, expected in [
        ("{\n  if (x) {\n  (|)\n  }\n}\n", "  y();", "  y();"),
        ("{\n  if (x) {\n    (|)\n  }\n}\n", "    y();", "y();"),
        ("{\n    y();\n  (|)\n}\n", "  z();", "  z();"),
    ]:
        assert fitted(text, completion, language="c") == expected


def test_lines_that_are_over_the_limit_do_not_leave_half_a_statement() -> None:
    check("(|)", "a = 1\nb = f(\n    c,\n)\n", "a = 1", max_lines=2)


def test_parses_for_a_completion_are_few_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = Syntax.has_error

    def counted(self: Syntax, text: str, budget: Budget | None = None) -> bool | None:
        sizes.append(len(text))
        return real(self, text, budget)

    monkeypatch.setattr(Syntax, "has_error", counted)
    entries = "".join(f"    'key{k}': [{k}, {k}],\n" for k in range(30_000))
    bodies = "".join(f"        x{k} = {k}\n" for k in range(1000))
    for before in (f"x = {{\n{entries}    ", f"class A:\n    def f(self):\n{bodies}        "):
        for completion in ("a = (\n" * 100, "a = 1\n", "'a': [1,\n", "f(\n"):
            sizes.clear()
            text = before + "\n" + entries
            fit(Target(text, len(before), "", syntax_of(text)), completion, 100)
            assert len(sizes) <= 13
            assert all(size <= 30_000 for size in sizes)


def test_lines_are_counted() -> None:
    check("(|)", "a = 1\nb = 2\nc = 3", "a = 1\nb = 2", max_lines=2)


def test_in_a_very_long_class_the_function_is_enough() -> None:
    method = "    def f(self):\n        return [1,\n            2]\n\n"
    text = "class A:\n" + 400 * method + "    def g(self):\n        (|)\n"
    check(text, "a = 1\n        b = (2,", "a = 1")
    check(text, "a = 1\n        return a\n\n    def h(self", "a = 1\n        return a")
