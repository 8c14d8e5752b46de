"""Differences against the texts they lead to, and how many steps they take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmline_lsp.documents.difference import MAX_EDITS, common_prefix, common_suffix, difference

pieces = st.sampled_from(
    [
        "a\n",
        "b\n",
        "\n",
        "}\n",
        "\tc\n",
        "    c\n",
        "d\r\n",
        "\r",
        "x",
        "é𝒳\n",
        "\x85",
        "f(1)\n",
        "f(2)\n",
    ]
)
texts = st.lists(pieces, max_size=30).map("".join)


def applied(old: str, new: str) -> str:
    text, end = old, len(old)
    for edit in difference(old, new):
        assert edit.start <= edit.end <= end, "the last place is the first"
        text, end = text[: edit.start] + edit.text + text[edit.end :], edit.start
    return text


@given(old=texts, new=texts)
def test_a_difference_applied_is_the_new_text(old: str, new: str) -> None:
    assert applied(old, new) == new


@given(a=texts, b=texts, n=st.integers(0, 5000))
def test_common_ends_are_those_of_a_loop(a: str, b: str, n: int) -> None:
    a, b = n * "a" + a + n * "b", n * "a" + b + n * "b"
    shared = min(len(a), len(b))
    differ = (k for k in range(shared) if a[k] != b[k])
    assert common_prefix(a, b) == next(differ, shared)
    differ = (k for k in range(shared) if a[-1 - k] != b[-1 - k])
    assert common_suffix(a, b) == next(differ, shared)


LINES = [f"\tif a[{k % 7}]:" if k % 5 == 0 else f"\t\tx{k} = {k}" for k in range(2400)]
OLD = "\n".join(LINES) + "\n"


def size(old: str, new: str) -> int:
    return sum(edit.end - edit.start + len(edit.text) for edit in difference(old, new))


@pytest.mark.parametrize(
    ("old", "new", "n_most"),
    [
        (OLD, OLD.replace("x10 =", "ten ="), 8),
        (OLD, OLD.replace("\t\tx16 = 16\n", "").replace("x2301", "y"), 30),
        (OLD, "import a\n" + OLD + "end\n", 20),
        (OLD, OLD.replace("x7 = 7", "x7 = 7  "), 4),
        (OLD, "".join(line.replace("\t", "    ") + "\n" for line in LINES[:100]) + "\n".join(LINES[100:]) + "\n", 1200),
        (OLD[:2000], OLD[:2000].replace("\n", "\r\n"), 200),
        ("a = 1\n\nb = 2\n" * 3, "a = 1\n\nb = 2\n" * 4, 20),
    ],
)  # fmt: skip
def test_what_formatters_change_stays_small(old: str, new: str, n_most: int) -> None:
    assert applied(old, new) == new
    assert size(old, new) <= n_most


def test_there_are_not_too_many_edits() -> None:
    new = OLD.replace("\t", "    ")
    assert applied(OLD, new) == new
    assert len(difference(OLD, new)) <= MAX_EDITS
