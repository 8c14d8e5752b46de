"""Places refused by a frame's settings, and the items of its answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.syntax import syntax_of
from warmline_engine.fitting import frames
from warmline_engine.syntax.lexical_context import lexical_context
from warmline_protocol import wire


def frame(offset: int, **more: Any) -> wire.Complete:
    return wire.Complete(1, "d", 1, offset, **more)


def texts(found: tuple[wire.Item, ...]) -> list[str]:
    return [item.text for item in found]


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("x = 1  # (|)\n", {"inside_comments": False}, "in_comment"),
        ("x = 1  # (|)\n", {"inside_strings": False}, ""),
        ("x = '(|)'\n", {"inside_strings": False}, "in_string"),
        ("x = '(|)'\n", {"inside_comments": False}, ""),
        ("x = '(|)'\n", {}, ""),
        ("x = (|)\n", {"inside_comments": False, "inside_strings": False}, ""),
        # behind text that is assumed
        ("x = (|)\n", {"inside_comments": False, "virtual_text": "1  # a"}, "in_comment"),
        ("# (|)\n", {"inside_comments": False, "virtual_text": "a\nx = "}, ""),
        ("x = (|)# a\n", {"inside_comments": False, "virtual_text": "1", "n_replaced": 3}, ""),
    ],
)
def test_a_place_is_refused_where_the_settings_say_so(
    text: str, more: dict[str, Any], expected: str
) -> None:
    offset = text.index("(|)")
    text = text.replace("(|)", "")
    assert frames.refusal(frame(offset, **more), text, syntax_of(text)) == expected
    assert expected in ("", *wire.STOP_REASONS)


def test_nothing_is_refused_without_a_grammar_or_outside_the_text() -> None:
    strict = {"inside_comments": False, "inside_strings": False}
    assert frames.refusal(frame(2, **strict), "# a", None) == ""
    assert frames.refusal(frame(9, **strict), "# a", syntax_of("# a")) == ""


def test_of_texts_that_become_equal_one_is_left() -> None:
    text, generated = "f()\n", [("a)", -1.0), ("a", -2.0), (")", -3.0), ("b", -4.0), ("", -5.0)]
    found = frames.items(frame(2), text, syntax_of(text), generated)
    assert [(item.text, item.mean_logprob) for item in found] == [("a", -1.0), ("b", -4.0)]


def test_the_lines_are_limited() -> None:
    found = frames.items(frame(0, max_lines=2), "", syntax_of(""), [("a = 1\nb = 2\nc = 3", 0.0)])
    assert texts(found) == ["a = 1\nb = 2"]


def test_virtual_text_counts_as_text() -> None:
    text = "f()\n"
    found = frames.items(frame(2, virtual_text="(a, "), text, syntax_of(text), [("b))", 0.0)])
    assert texts(found) == ["b)"]


@settings(max_examples=100, deadline=None)
@given(
    text=st.lists(st.sampled_from(["x = 'a'", "# b", "\n", "f(", ")", "é", '"""'])).map("".join),
    at=st.floats(0, 1),
    completion=st.lists(
        st.sampled_from(["'a'", "# b", "\n", "𝒳", "1 + ", '"""', 'f"{c}"']), min_size=1
    ).map("".join),
    allowed=st.sampled_from([(True, False), (False, True), (False, False)]),
)
def test_excluded_spans_are_where_a_request_would_be_refused(
    text: str, at: float, completion: str, allowed: tuple[bool, bool]
) -> None:
    offset = int(at * len(text))
    asked = frame(offset, inside_comments=allowed[0], inside_strings=allowed[1])
    for item in frames.items(asked, text, syntax_of(text), [(completion, 0.0)]):
        whole = syntax_of(text[:offset] + item.text + text[offset:])
        spans = list(zip(item.excluded[::2], item.excluded[1::2], strict=True))
        assert list(item.excluded) == sorted(set(item.excluded))
        for n_typed in range(1, len(item.text)):
            context = lexical_context(whole, offset + n_typed)
            assert context is not None
            is_excluded = (context.is_comment and not allowed[0]) or (
                context.is_string and not allowed[1]
            )
            assert any(a <= n_typed < b for a, b in spans) == is_excluded
