"""What the server does with texts on its event loop takes steps in proportion to their length."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lsprotocol import types

from tests.support.growth import assert_grows_slowly, count_steps
from warmline_lsp.documents import documents
from warmline_lsp.documents.difference import difference
from warmline_lsp.documents.documents import Document
from warmline_lsp.documents.text_units import clean, units
from warmline_lsp.documents.uris import same_uri
from warmline_lsp.lsp.eligibility import is_binary

pytestmark = pytest.mark.slow

Change = types.TextDocumentContentChangeEvent


def code(n: int, indent: str = "\t") -> str:
    return "".join(f"{indent}x{k % 50} = {k}\n" if k % 3 else f"if y[{k}]:\n" for k in range(n))


DIFFERENCES: dict[str, Callable[[int], tuple[str, str]]] = {
    "tabs to spaces": lambda n: (code(n), code(n, "    ")),
    "line ends": lambda n: (code(n), code(n).replace("\n", "\r\n")),
    "all lines the same": lambda n: ("a\n" * n, "a\n" * (n // 2) + "b\n" + "a\n" * n),
    "two lines in turn": lambda n: ("a\nb\n" * n, "b\na\n" * n),
    "nothing in common": lambda n: ("a\n" * n, "b\n" * (n + 1)),
    "lines sorted the other way": lambda n: (
        "".join(f"{k}\n" for k in range(n)),
        "".join(f"{k}\n" for k in reversed(range(n))),
    ),
    "every second line gone": lambda n: (code(n), "".join(code(n).splitlines(True)[::2])),
    "one long line": lambda n: ("a" * n + "b" + "a" * n, "a" * n + "c" + "a" * n),
    "one long line of pairs": lambda n: ("ab" * n, "ba" * n),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences(name: str) -> None:
    assert_grows_slowly(lambda made: difference(*made), DIFFERENCES[name])


def ranged(start: tuple[int, int], end: tuple[int, int], text: str) -> Change:
    where = types.Range(types.Position(*start), types.Position(*end))
    return types.TextDocumentContentChangePartial(where, text)


NOTIFICATIONS: dict[str, Callable[[int], list[Change]]] = {
    "a formatter from the top": lambda n: [ranged((k, 0), (k, 1), "    ") for k in range(n)],
    "a formatter from the end": lambda n: [
        ranged((k, 0), (k, 1), "    ") for k in reversed(range(n))
    ],
    "lines taken out": lambda n: [ranged((k, 0), (k + 1, 0), "") for k in range(n // 2)],
    "one place again and again": lambda n: [ranged((0, 0), (0, 0), "x\n") for _ in range(n)],
    "a whole text and ranges": lambda n: [
        types.TextDocumentContentChangeWholeDocument(code(n)),
        *(ranged((k, 0), (k, 0), "é") for k in range(n)),
    ],
    "whole texts": lambda n: [
        types.TextDocumentContentChangeWholeDocument(code(n, k * " ")) for k in range(5)
    ],
    "a whole text": lambda n: [types.TextDocumentContentChangeWholeDocument(code(n, "  "))],
    "one key": lambda n: [ranged((n // 2, 0), (n // 2, 0), "x")],
    "half a surrogate pair": lambda n: [ranged((n // 2, 0), (n // 2, 0), "\ud835")],
}


@pytest.mark.parametrize("name", NOTIFICATIONS)
def test_changes(name: str) -> None:
    def make(n: int) -> tuple[Document, list[Change]]:
        return Document.open("u", "python", 1, code(n), "utf-16"), NOTIFICATIONS[name](n)

    assert_grows_slowly(lambda made: made[0].changed(2, made[1]), make, 40, 2, 10_000_000)


def test_a_key_in_a_refused_file_costs_the_same_whatever_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(documents, "MAX_TEXT", 1000)
    monkeypatch.setattr(documents, "MAX_FOLLOWED", 4000)
    counts = []
    for n in (1_000, 100_000):
        document = Document.open("u", "python", 1, code(n), "utf-16")
        change = ranged((n // 2, 0), (n // 2, 0), "x")
        counts.append(count_steps(lambda d=document, c=change: d.changed(2, [c])))
    assert counts[0] == counts[1] < 1_000


def test_small_things() -> None:
    assert_grows_slowly(clean, lambda n: "é\ud800" * n)
    assert_grows_slowly(lambda text: units(text, "utf-16"), lambda n: "é𝒳" * n)
    assert_grows_slowly(is_binary, lambda n: "\0a" * n)
    assert_grows_slowly(same_uri, lambda n: "file:///" + "%20" * n)
    assert_grows_slowly(same_uri, lambda n: "a+" * n)
