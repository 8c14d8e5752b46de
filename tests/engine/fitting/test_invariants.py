"""What holds for every fitted completion, on small random texts."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.syntax import syntax_of
from warmline_engine.fitting.fit import Target, fit
from warmline_engine.syntax.syntax_context import SyntaxContext
from warmline_engine.syntax.tree import Syntax

PIECES = [
    "(", ")", "[", "]", "{", "}", "\n", "    ", "\t", "x = 1\n", "    y = 2\n", "é", '"', "'", "def f():\n",
    "if x:\n", "else:\n", ":", "return", "f(a, b)", "f(", ", ", "# c", "x", "\\",
]  # fmt: skip
CODE = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
LINE_BREAKS = st.sampled_from(["\n", "\r\n"])
# places in texts that are whole, or are with the right completion
PLACES = st.sampled_from([
    ("", ""), ("g(\n    ", "\n)\n"), ("x = [", "]\n"), ("f(", ", 1)\n"), ("x = (", ") + 1\n"), ('x = "', '"\n'),
    ("def f():\n    ", "\n    return 1\n"), ("if x:\n    ", "\nelse:\n    y = 2\n"), ("x = {\n    ", "\n}\n"),
    ("if x:\n    if y:\n    ", "\n"), ("    ", ""), ("x = 1\n", "\n    [1],\n)\n"), ("for ", " in y:\n    x\n"),
]) | st.tuples(CODE, CODE)  # fmt: skip
COMPLETIONS = CODE | st.lists(
    st.sampled_from([
        "f(\n", "[\n", "{\n", "1,\n", "1: 2,\n", ")\n", "]\n", "}\n", "x = 1\n", "    x = 1\n", "return 1\n",
        "    return 1", "[1],\n", "a)", "a]", 'a"', "(a)", "if x:\n", "else:\n", "pass", "1 + ",
    ]),
    max_size=6,
).map("".join) | st.lists(
    st.sampled_from(["f(\n1,\n2)\n", "x = [\n1,\n2,\n]\n", "f(1)\n", "g(\n[1,\n2])\n"]), min_size=1, max_size=3
).map("".join)  # fmt: skip


def check_whole(
    language: str, before: str, after: str, completion: str, virtual_text: str, max_lines: int
) -> None:
    text, offset = before + after, len(before)
    syntax = Syntax.of(language, text)
    assert syntax is not None
    context = SyntaxContext(syntax, offset, virtual_text)
    fitted = fit(Target(text, offset, virtual_text, syntax), completion, max_lines)
    if fitted and context.fits(completion):
        assert context.fits(fitted)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["python", "python", "javascript"]),
    PLACES,
    COMPLETIONS,
    st.sampled_from(["", "", "x", "f(", "\n    "]),
    st.integers(1, 4),
    LINE_BREAKS,
)
@example("python", ("    ", ""), "    x = 1", "", 4, "\n")
@example("python", ("g(\n    ", "\n)\n"), "f(\n1,\n2)", "", 2, "\n")
@example("python", ("g(\n    ", "\n)\n"), "f(\n1,\n2)", "", 2, "\r\n")
@example("javascript", ("", ""), "f(\n1,\n2)", "", 2, "\n")
def test_a_text_that_was_whole_with_the_generated_text_is_whole_with_the_fitted_one(
    language: str,
    place: tuple[str, str],
    completion: str,
    virtual_text: str,
    max_lines: int,
    line_break: str,
) -> None:
    before, after = (part.replace("\n", line_break) for part in place)
    check_whole(language, before, after, completion, virtual_text, max_lines)


@settings(max_examples=200, deadline=None)
@given(CODE, CODE, CODE, st.integers(1, 4), st.sampled_from(["\n", "\r\n", "\r"]))
def test_lines_and_line_breaks_are_those_asked_for(
    before: str, after: str, completion: str, max_lines: int, line_break: str
) -> None:
    text = (before + after).replace("\n", line_break)
    offset = len(before.replace("\n", line_break))
    fitted = fit(Target(text, offset, "", syntax_of(text)), completion, max_lines)
    assert not fitted or fitted.strip()
    if line_break in text:
        assert "\n" not in fitted.replace(line_break, "")
        assert "\r" not in fitted.replace(line_break, "")
    assert fitted.count(line_break if line_break in text else "\n") < max_lines
