"""Documents against slicing a str."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from warmline_lsp.documents import Document, Edit, Encoding, clean, difference, units
from warmline_lsp.errors import DocumentError

ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")
texts = st.lists(
    st.sampled_from(["a", "bc", "\n", "\r", "\r\n", "\f", "\v", "\x85", "\u2028", "é", "𝒳", "e\u0301", "\0"])
).map("".join)  # fmt: skip
places = st.floats(0, 1)


def lines_of(text: str) -> list[int]:
    """Line starts by walking along the text."""
    starts, k = [0], 0
    while k < len(text):
        k += 2 if text[k : k + 2] == "\r\n" else 1
        if text[k - 1] in "\r\n":
            starts.append(k)
    return starts


@given(text=texts, edits=st.lists(st.tuples(places, places, texts), max_size=6))
def test_edits_are_slices_and_lines_are_kept(
    text: str, edits: list[tuple[float, float, str]]
) -> None:
    document = Document.open("u", "python", 1, text, "utf-16")
    for a, b, new in edits:
        start, end = sorted((int(a * len(text)), int(b * len(text))))
        document = document.apply(Edit(start, end, new))
        text = text[:start] + new + text[end:]
        assert document.text == text
        assert list(document.line_starts) == lines_of(text)


@given(text=texts, at=places, encoding=st.sampled_from(ENCODINGS))
def test_positions_and_offsets_are_inverse(text: str, at: float, encoding: Encoding) -> None:
    document = Document.open("u", "python", 1, text, encoding)
    offset = int(at * len(text))
    if text[offset - 1 : offset + 1] == "\r\n":
        return  # between the two characters of a line break is no position
    position = document.position_at(offset)
    assert document.offset_at(position) == offset
    line = text[document.line_starts[position.line] : offset]
    width = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
    codec = encoding if encoding == "utf-8" else f"{encoding}-le"
    assert position.character == len(line.encode(codec)) // width


@pytest.mark.parametrize(
    ("line", "character", "offset"), [(0, 99, 3), (9, 0, 7), (1, 2, 5), (1, 3, 6), (0, 0, 0)]
)
def test_positions_past_an_end_are_the_end(line: int, character: int, offset: int) -> None:
    document = Document.open("u", "python", 1, "abc\né𝒳x", "utf-16")
    assert document.offset_at(types.Position(line, character)) == offset


@given(old=texts, new=texts)
def test_a_difference_applied_is_the_new_text(old: str, new: str) -> None:
    document = Document.open("u", "python", 1, old, "utf-16")
    for edit in difference(old, new):
        document = document.apply(edit)
    assert document.text == new


def test_a_difference_keeps_what_is_equal() -> None:
    old = "".join(f"line {k}\n" for k in range(500))
    new = old.replace("line 10\n", "line ten\n").replace("line 400\n", "")
    changed = sum(edit.end - edit.start + len(edit.text) for edit in difference(old, new))
    assert changed < 30


def test_a_reversed_range_is_refused() -> None:
    document = Document.open("u", "python", 1, "abc", "utf-16")
    backwards = types.Range(types.Position(0, 2), types.Position(0, 1))
    with pytest.raises(DocumentError):
        document.edit_of(types.TextDocumentContentChangePartial(backwards, "x"))


def test_surrogates_become_replacement_characters() -> None:
    assert clean("a\ud800\udc00b") == "a\ufffd\ufffdb"


def test_units() -> None:
    assert [units("é𝒳", encoding) for encoding in ENCODINGS] == [6, 3, 2]
