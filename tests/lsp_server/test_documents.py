"""Documents against slicing a str."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from warmline_lsp.documents import documents
from warmline_lsp.documents.difference import Edit
from warmline_lsp.documents.documents import Document
from warmline_lsp.documents.text_units import Encoding, clean, units
from warmline_lsp.errors import DocumentSyncError

ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")
Change = types.TextDocumentContentChangeEvent
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


def ranged(start: tuple[int, int], end: tuple[int, int], text: str) -> Change:
    where = types.Range(types.Position(*start), types.Position(*end))
    return types.TextDocumentContentChangePartial(where, text)


class Client:
    """What an editor does: its text is a list of lines of UTF-16 units, or of units of another encoding."""

    def __init__(self, text: str, encoding: Encoding) -> None:
        self.encoding: Encoding = encoding
        self.codec = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}[encoding]
        self.width = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
        self.coded = text.encode(self.codec, "surrogatepass")

    @property
    def text(self) -> str:
        """As the server may know it: what is no character is U+FFFD."""
        return clean(self.coded.decode(self.codec, "surrogatepass"))

    def line_starts(self) -> list[int]:
        """Of each line, in bytes."""
        text = self.coded.decode(self.codec, "surrogatepass")
        return [len(text[:k].encode(self.codec, "surrogatepass")) for k in lines_of(text)]

    def at(self, line: int, character: int) -> int:
        starts = self.line_starts()
        if len(starts) <= line:
            return len(self.coded)
        stop = starts[line + 1] if line + 1 < len(starts) else len(self.coded)
        body = self.coded[starts[line] : stop].decode(self.codec, "surrogatepass").rstrip("\r\n")
        n_body = len(body.encode(self.codec, "surrogatepass"))
        return starts[line] + min(character * self.width, n_body)

    def change(self, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
        """As vscode-languageserver-textdocument does it: reversed ranges are swapped, ends are clamped."""
        if end < start:
            start, end = end, start
        a, b = self.at(*start), self.at(*end)
        self.coded = self.coded[:a] + text.encode(self.codec, "surrogatepass") + self.coded[b:]


positions = st.tuples(st.integers(0, 5), st.integers(0, 6))
# halves of a surrogate pair too, as they come where an editor sends one unit at a time
inserted = st.one_of(texts, st.sampled_from(["\ud835", "\udcb3", "a\ud835", "\udcb3\n"]))
changes = st.lists(
    st.one_of(st.tuples(positions, positions, inserted), inserted), min_size=1, max_size=5
)


@given(
    text=texts,
    notifications=st.lists(st.tuples(st.integers(-2, 9), changes), max_size=5),
    encoding=st.sampled_from(ENCODINGS),
    n_single=st.sampled_from([0, 2, 100]),
)
def test_the_text_is_the_clients_whatever_it_sends(
    text: str,
    notifications: list[tuple[int, list[Any]]],
    encoding: Encoding,
    n_single: int,
) -> None:
    """Versions may repeat or go back; ranges may be reversed, overlap, lie outside the text, or cut surrogate pairs."""
    if encoding != "utf-16":
        text = clean(text)
    client, document = Client(text, encoding), Document.open("u", "python", 1, text, encoding)
    engine = document.text  # which is sent edits only
    for version, sent in notifications:
        events: list[Change] = []
        for item in sent:
            if isinstance(item, str):
                whole = item if encoding == "utf-16" else clean(item)
                client.coded = whole.encode(client.codec, "surrogatepass")
                events.append(types.TextDocumentContentChangeWholeDocument(whole))
                continue
            start, end, new = item
            new = new if encoding == "utf-16" else clean(new)
            try:
                client.change(start, end, new)
                assert isinstance(client.text, str)
            except UnicodeDecodeError:
                return  # UTF-8 cut inside a character is no text any more
            events.append(ranged(start, end, new))
        before = document.version
        with mock.patch.object(documents, "_MAX_SINGLE_CHANGES", n_single):
            document, edits = document.changed(version, events)
        assert before < document.version
        assert document.client_version == version
        for edit in edits:
            engine = engine[: edit.start] + edit.text + engine[edit.end :]
        assert document.text == client.text == engine
        assert list(document.line_starts) == lines_of(client.text)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ((0, 2), (0, 1), "aXc\ndef"),
        ((1, 0), (0, 0), "Xdef"),
        ((2, 0), (2, 0), "abc\ndefX"),
        ((9, 9), (9, 9), "abc\ndefX"),
        ((9, 9), (0, 1), "aX"),
        ((0, 9), (0, 9), "abcX\ndef"),
        ((0, 9), (1, 0), "abcXdef"),
        ((1, 2), (1, 99), "abc\ndeX"),
    ],
)
@pytest.mark.parametrize("n", [0, 1, 40], ids=["alone", "with another", "with many"])
def test_a_range_is_clamped_and_put_in_order(
    start: tuple[int, int], end: tuple[int, int], expected: str, n: int
) -> None:
    document = Document.open("u", "python", 1, "abc\ndef", "utf-16")
    others = n * [ranged((0, 0), (0, 0), "")]
    after, edits = document.changed(2, [*others, ranged(start, end, "X")])
    text = document.text
    for edit in edits:
        text = text[: edit.start] + edit.text + text[edit.end :]
    assert after.text == text == expected


def test_out_of_sync_ends_with_a_whole_text() -> None:
    document = Document.open("u", "python", 1, "abc", "utf-16").out_of_sync(2)
    with pytest.raises(DocumentSyncError):
        document.changed(3, [ranged((0, 0), (0, 0), "x")])
    after, edits = document.changed(3, [whole("new\n"), ranged((1, 0), (1, 0), "x")])
    assert (after.text, after.is_out_of_sync, edits) == ("new\nx", False, [])


def whole(text: str) -> Change:
    return types.TextDocumentContentChangeWholeDocument(text)


@given(
    text=texts,
    notifications=st.lists(changes, max_size=6),
    n_single=st.sampled_from([0, 2, 100]),
    limits=st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 6)),
)
def test_a_text_is_served_again_when_it_is_small_enough(
    text: str,
    notifications: list[list[Any]],
    n_single: int,
    limits: tuple[int, int, int],
) -> None:
    """A text is followed up to a second limit; one beyond it is unknown until the client sends it whole."""
    max_text, max_followed, max_lines = limits[0], limits[0] + limits[1], limits[2]
    with (
        mock.patch.object(documents, "MAX_TEXT", max_text),
        mock.patch.object(documents, "MAX_FOLLOWED", max_followed),
        mock.patch.object(documents, "MAX_FOLLOWED_LINES", max_lines),
        mock.patch.object(documents, "_MAX_SINGLE_CHANGES", n_single),
    ):
        client, document = Client(text, "utf-16"), Document.open("u", "python", 1, text, "utf-16")
        for version, sent in enumerate(notifications, 2):
            events = [whole(c) if isinstance(c, str) else ranged(*c) for c in sent]
            for change in sent:
                if isinstance(change, str):
                    client.coded = change.encode(client.codec, "surrogatepass")
                else:
                    client.change(*change)
            before = document
            document, edits = before.changed(version, events)
            if any(isinstance(change, str) for change in sent) or not before.is_unfollowed:
                is_beyond = len(client.text) > max_followed or (
                    len(client.text) > max_text and len(client.line_starts()) > max_lines
                )
                assert document.is_unfollowed or not is_beyond
            if document.is_unfollowed:
                assert (document.text, edits, document.is_servable) == ("", [], False)
                continue
            assert document.text == client.text
            assert list(document.line_starts) == lines_of(client.text)
            assert document.is_too_large == (len(client.text) > max_text)
            engine = before.text
            for edit in edits:
                engine = engine[: edit.start] + edit.text + engine[edit.end :]
            assert not edits or engine == client.text
            assert bool(edits) <= (before.is_servable and document.is_servable)
            if before.is_servable and document.is_servable and before.text != document.text:
                assert edits


def test_a_huge_paste_is_followed_until_it_is_undone() -> None:
    document = Document.open("u", "python", 1, "a = 1\nb = 2\n", "utf-16")
    paste = 60_000 * ("x" * 39 + "\n")
    pasted, edits = document.changed(2, [ranged((1, 0), (1, 0), paste)])
    assert (pasted.is_too_large, pasted.is_unfollowed, edits) == (True, False, [])
    typed, _ = pasted.changed(3, [ranged((1, 0), (1, 0), "y")])
    undone, _ = typed.changed(4, [ranged((1, 0), (1, 1), "")])
    undone, _ = undone.changed(5, [ranged((1, 0), (60_001, 0), "")])
    assert (undone.text, undone.is_servable) == (document.text, True)


def test_a_text_beyond_the_second_limit_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_TEXT", 5)
    monkeypatch.setattr(documents, "MAX_FOLLOWED", 8)
    document = Document.open("u", "python", 1, "abcdefghi", "utf-16")
    assert (document.text, document.is_too_large, document.is_unfollowed) == ("", True, True)
    document, edits = document.changed(2, [ranged((0, 0), (0, 7), "")])
    assert (document.is_unfollowed, edits) == (True, [])
    document, edits = document.changed(3, [whole("abcd")])
    assert (document.text, document.is_too_large, edits) == ("abcd", False, [])
    grown, edits = document.changed(4, [ranged((0, 4), (0, 4), "xyz"), ranged((0, 0), (0, 0), "y")])
    assert (grown.text, grown.is_too_large, grown.is_unfollowed, edits) == (
        "yabcdxyz",
        True,
        False,
        [],
    )
    lost, edits = grown.changed(5, [ranged((0, 0), (0, 0), "y")])
    assert (lost.text, lost.is_unfollowed, edits) == ("", True, [])


def test_surrogates_become_replacement_characters() -> None:
    assert clean("a\ud800\udc00b") == "a\ufffd\ufffdb"


def test_units() -> None:
    assert [units("é𝒳", encoding) for encoding in ENCODINGS] == [6, 3, 2]
