"""Names and their parts, against a splitter that looks at one character after the other."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmline_engine.retrieval.index.words import words, words_of


def check(name: str, expected: str) -> None:
    assert " ".join(words_of(name)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("read", "read"),
        ("read_config", "read_config read config"),
        ("readConfig", "readconfig read config"),
        ("HTTPServer2", "httpserver2 http server"),
        ("_private", "_private private"),
        ("x_1", "x_1"),
        ("größe", "größe"),
        ("neue_größe", "neue_größe neue größe"),
        ("x" * 65, ""),
    ],
)
def test_by_hand(name: str, expected: str) -> None:
    check(name, expected)


def _slow(name: str) -> list[str]:
    """Parts of an ASCII name: a border where the kind of character changes, Aa kept together."""
    parts = [""]
    for k, c in enumerate(name):
        if c == "_":
            parts.append("")
            continue
        before, after = name[k - 1 : k], name[k + 1 : k + 2]
        begins = (
            before.isdigit() != c.isdigit()
            or (c.isupper() and before.islower())
            or (c.isupper() and before.isupper() and after.islower())
        )
        if begins:
            parts.append("")
        parts[-1] += c.lower()
    return [part for part in parts if part]


@given(st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=30))
def test_parts_are_those_of_the_slow_splitter(name: str) -> None:
    if name[0].isdigit():
        name = "a" + name
    parts = _slow(name)
    found = words_of(name)
    assert found[0] == name.lower()
    if len(parts) < 2:
        assert list(found[1:]) == [part for part in parts if part != name.lower()]
    else:
        assert list(found[1:]) == [part for part in parts if len(part) > 1]


def test_a_text_is_its_names_in_order() -> None:
    assert words("def read_it(x): return 3 + x.parse2") == (
        ["def", "read_it", "read", "it", "x", "return", "x", "parse2", "parse"]
    )
    assert words("read_it x", with_parts=False) == ["read_it", "x"]
