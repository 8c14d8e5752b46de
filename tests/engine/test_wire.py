"""Frames from peers that may be hostile: what is refused, and that refusing costs little."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any, cast

import attrs
import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from warmline_protocol import wire
from warmline_protocol.wire import packing
from warmline_protocol.wire.scan import MAX_DEPTH, MAX_ENTRIES, MAX_KEY_BYTES, ScanError, scan

FRAMES: list[wire.Frame] = [
    wire.Hello(5, "token", "client"),
    wire.Open("d", "python", 1, "text", None, "root", "path", ("a", "b")),
    wire.Edit("d", 2, (wire.TextEdit(0, 1, "x"), wire.TextEdit(1, 1, ""))),
    wire.Complete(1, "d", 2, 3, deadline_ms=5),
    wire.Completion(1, (wire.Item("a", -0.5),), "end", 1, 1, 1, 1, 1.0, 2.0),
    wire.Complete(1, "d", 2, 3, max_lines=1, inside_comments=False, inside_strings=False),
    wire.Completion(1, (wire.Item("a", -0.5, (1, 2, 5, 7)),), "in_string", 1, 1, 1, 1, 1.0, 2.0),
    wire.Status(1, "ready", "", "m", (wire.DocumentStatus("d", 1, 2, 3),), 1, 2),
    wire.Context(1, "ready", 1, 1, (wire.ContextItem("p", 1, "n", "w", "t", 1),)),
]
MEBIBYTE = 2**20


@pytest.mark.parametrize("frame", FRAMES, ids=lambda f: type(f).__name__)
def test_a_frame_comes_back(frame: wire.Frame) -> None:
    assert wire.unpack(wire.pack(frame)[4:]) == frame


def packed(body: object) -> bytes:
    return cast(bytes, msgpack.packb(body))


def edit(**more: object) -> dict[str, object]:
    return {"op": "Edit", "document": "d", "version": 1, "edits": [], **more}


def complete(**more: object) -> dict[str, object]:
    return {"op": "Complete", "id": 7, "document": "d", "version": 1, "offset": 1, **more}


def opening(**more: object) -> dict[str, object]:
    return {"op": "Open", "document": "d", "language": "p", "version": 1, "text": "", **more}


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "a number": b"\x01",
    "a list": b"\x90",
    "a text": b"\xa1a",
    "nil": b"\xc0",
    "a byte that is no type": b"\x81\xa2op\xc1",
    "cut off": packed(edit())[:-1],
    "bytes behind it": packed(edit()) + b"\xc0",
    "two values": packed(edit()) * 2,
    "a bytes key": packed({b"op": "Edit"}),
    "a number for a key": b"\x81\x01\x01",
    "a list for a key": b"\x81\x90\x01",
    "a map for a key": b"\x81\x80\x01",
    "nil for a key": b"\x81\xc0\x01",
    "a NaN key": b"\x81\xcb" + struct.pack(">d", float("nan")) + b"\x01",
    "a key that is there twice": b"\x82\xa2op\xa4Edit\xa2op\xa4Quit",
    "a long key": packed({"k" * (MAX_KEY_BYTES + 1): 1}),
    "text that is no UTF-8": b"\x81\xa2op\xa2\xff\xfe",
    "a surrogate": b"\x81\xa2op\xa3\xed\xa0\x80",
    "bytes": packed(edit(document=b"d")),
    "a timestamp": packed(edit(version=msgpack.Timestamp(1, 1))),
    "an extension": packed(edit(version=msgpack.ExtType(5, b"x"))),
    "an extension of 4 GiB": b"\x81\xa2op\xc9\xff\xff\xff\xff\x01",
    "a text of 4 GiB": b"\x81\xa2op\xdb\xff\xff\xff\xff",
    "a list of 4 billion": b"\x81\xa2op\xdd\xff\xff\xff\xff",
    "a map of 4 billion": b"\xdf\xff\xff\xff\xff",
    "a map of many entries": packed({f"k{n}": n for n in range(MAX_ENTRIES + 1)}),
    "lists in lists": b"\x81\xa2op" + b"\x91" * 10_000 + b"\xc0",
    "maps in maps": b"\x81\xa1a" * 10_000 + b"\xc0",
    "lists that claim what is behind them": b"\x81\xa2op" + b"\xdd\x00\x00\xff\xff" * 20_000,
    "a million empty maps": b"\x81\xa2op\xdd" + struct.pack(">I", 10**6) + b"\x80" * 10**6,
    "a million small lists": b"\x81\xa2op\xdd" + struct.pack(">I", 500_000) + b"\x91\xc0" * 500_000,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_payload_is_refused_before_it_is_built(name: str) -> None:
    payload = MALFORMED[name]
    error, peak = refusal(payload)
    assert error.code == "malformed_frame"
    assert len(str(error)) < 300
    assert peak < MEBIBYTE // 2, "memory grows by what a payload claims"


def refusal(payload: bytes) -> tuple[wire.WireError, int]:
    """The error, and the most bytes that were taken meanwhile."""
    tracemalloc.start()
    try:
        with pytest.raises(wire.WireError) as caught:
            wire.unpack(payload, wire.TO_ENGINE)
        return caught.value, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


INVALID: list[tuple[dict[str, object], str]] = [
    (edit(edits=[{}]), "edits"),
    (edit(edits=[{}] * 50_000), "edits"),
    (edit(edits=[[]] * 50_000), "edits"),
    (edit(edits=[1] * 50_000), "edits"),
    (edit(edits="text"), "expected a list"),
    (edit(edits={"start": 1}), "expected a list"),
    (edit(edits=None), "expected a list"),
    (edit(edits=[{"start": -1, "end": 1, "text": ""}]), "start: expected 0"),
    (edit(edits=[{"start": 0, "end": 2**63, "text": ""}]), "end: expected 0"),
    (edit(edits=[{"start": 0, "end": 1.0, "text": ""}]), "edits"),
    (edit(edits=[{"start": 0, "end": True, "text": ""}]), "edits"),
    (edit(version=2**64 - 1), "version: expected"),
    (edit(version=float("nan")), "version: expected int"),
    (edit(version="1"), "version: expected int"),
    (edit(document="d" * (wire.MAX_NAME + 1)), "document: at most"),
    (edit(document=["d"]), "document: expected str"),
    (edit(more=1), "not known"),
    (opening(excluded="*.py"), "expected a list"),
    (opening(excluded=["*.py", 1]), "excluded"),
    (opening(excluded=[["*.py"]]), "excluded"),
    (opening(excluded=["x" * (wire.MAX_NAME + 1)]), "excluded: at most"),
    (opening(cursor=-1), "cursor: expected 0"),
    (opening(cursor=1.5), "cursor"),
    (opening(text="x" * (wire.MAX_TEXT + 1)), "text: at most"),
    (opening(language="p" * 300), "language: at most"),
    (opening(root="r" * (wire.MAX_NAME + 1)), "root: at most"),
    (complete(offset=-1), "offset: expected 0"),
    (complete(offset=2**64 - 1), "offset: expected 0"),
    (complete(offset=float("inf")), "offset: expected int"),
    (complete(max_tokens=0), "max_tokens: expected 1"),
    (complete(max_tokens=-5), "max_tokens: expected 1"),
    (complete(max_lines=0), "max_lines: expected 1"),
    (complete(max_lines=10**6), "max_lines: expected 1"),
    (complete(n_replaced=-1), "n_replaced: expected 0"),
    (complete(inside_comments=1), "inside_comments: expected bool"),
    (complete(inside_strings="no"), "inside_strings: expected bool"),
    (complete(max_tokens=10**9), "max_tokens: expected 1"),
    (complete(max_tokens=float("nan")), "max_tokens: expected int"),
    (complete(n_alternatives=0), "n_alternatives: expected 1"),
    (complete(n_alternatives=10**6), "n_alternatives: expected 1"),
    (complete(deadline_ms=-1), "deadline_ms: expected 0"),
    (complete(deadline_ms=2**60), "deadline_ms: expected 0"),
    (complete(deadline_ms=float("nan")), "deadline_ms"),
    (complete(virtual_text="x" * (wire.MAX_VIRTUAL_TEXT + 1)), "virtual_text: at most"),
    (complete(alternatives_by="magic"), "alternatives_by: expected branching"),
    (complete(contrast="magic"), "contrast: expected off"),
    (complete(multi_line=1), "multi_line: expected bool"),
    ({"op": "Cancel"}, "id is missing"),
    ({"op": "AskStatus", "id": 2**64 - 1}, "id: expected"),
    ({"op": "MoveCursor", "document": "d", "version": 1, "offset": -1}, "offset: expected 0"),
]


@pytest.mark.parametrize(("body", "words"), INVALID)
def test_the_first_wrong_field_is_named_and_not_its_value(
    body: dict[str, object], words: str
) -> None:
    error, peak = refusal(packed(body))
    assert error.code == "invalid_frame"
    assert words in str(error)
    assert len(str(error)) < 300
    assert peak < 40 * MEBIBYTE, "one error for each wrong value"
    assert error.request_id == (7 if body["op"] == "Complete" else None)


@pytest.mark.parametrize("op", [None, 5, "Nope", "secret text " * 1000, ["Open"], {"a": 1}])
def test_an_unknown_kind_is_not_repeated(op: object) -> None:
    error, _ = refusal(packed({"op": op}))
    assert error.code == "unknown_op"
    assert "secret" not in str(error)
    assert len(str(error)) < 300


def test_an_answer_is_no_question() -> None:
    error, _ = refusal(wire.pack(wire.Welcome(1, "", 1))[4:])
    assert error.code == "unexpected_frame"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_refused(number: float) -> None:
    with pytest.raises(wire.WireError, match="finite"):
        wire.unpack(packed({"op": "Progress", "stage": "s", "fraction": number}))


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (packed({"op": "Hello", "version": 5, "token": 1}), "invalid_frame"),
        (packed({"op": "Hello", "version": "5"}), "invalid_frame"),
        (packed({"op": "Hello", "version": True}), "invalid_frame"),
        (packed({"op": "Hello"}), "invalid_frame"),
        (packed({"op": "Hello", "version": 5, "more": 1}), "invalid_frame"),
        (packed({"op": "Hello", "version": 5, "client": "c" * 2000}), "invalid_frame"),
        (packed({"op": "Hello", "version": 5, "token": {}}), "invalid_frame"),
        (packed({"op": "Hello", "version": [{}] * 1000}), "malformed_frame"),
        (packed({b"op": "Hello"}), "malformed_frame"),
        (packed({"op": "Open", "document": "Hello"}), "no_hello"),
        (packed(edit(edits=[{}] * 1000)), "no_hello"),
        (packed({"op": "AskStatus", "id": 1}), "no_hello"),
        (packed([{}] * 4000), "no_hello"),
        (packed("Hello"), "malformed_frame"),
        (b"", "no_hello"),
    ],
)
def test_only_hello_is_read_before_hello(
    payload: bytes, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> object:
        raise AssertionError("a frame was built for a peer that has not shown its token")

    monkeypatch.setattr(packing, "_CONVERTER", refuse)
    with pytest.raises(wire.WireError) as caught:
        wire.unpack_hello(payload)
    assert caught.value.code == code
    assert len(str(caught.value)) < 300


def test_hello_is_read() -> None:
    for hello in (wire.Hello(5), wire.Hello(-1, "é" * 99, "c"), wire.Hello(2**63 - 1)):
        assert wire.unpack_hello(wire.pack(hello)[4:]) == hello


def test_a_long_message_is_shortened() -> None:
    frame = wire.unpack(wire.pack(wire.Failure(1, "model", "x" * 10**6))[4:])
    assert isinstance(frame, wire.Failure)
    assert len(frame.message) == wire.MAX_MESSAGE


def test_what_a_peer_would_refuse_is_not_sent() -> None:
    edits = (wire.TextEdit(0, 0, ""),) * wire.MAX_VALUES
    with pytest.raises(wire.WireError) as caught:
        wire.pack(wire.Edit("d", 1, edits))
    assert caught.value.code == "frame_too_long"
    longest = wire.Edit("d", 1, edits[: (wire.MAX_VALUES - 8) // 7])
    assert wire.unpack(wire.pack(longest)[4:]) == longest


# ---- the scan against msgpack itself


def reference(payload: bytes, max_values: int) -> int | None:
    """The number of values of what msgpack makes of a payload; None where it is not what a frame may be."""
    pairs: list[list[Any]] = []
    try:
        hook = lambda found: (pairs.append(found), dict(found))[1]  # noqa: E731
        body = msgpack.unpackb(payload, object_pairs_hook=hook, raw=True, strict_map_key=True)
    except Exception:  # whatever it raises
        return None
    for found in pairs:
        keys = [key for key, _ in found]
        if len(set(keys)) < len(keys) or len(keys) > MAX_ENTRIES:
            return None
        if any(len(key) > MAX_KEY_BYTES for key in keys):
            return None

    def count(value: object, depth: int) -> int:
        if isinstance(value, msgpack.ExtType | msgpack.Timestamp):
            raise ValueError
        if isinstance(value, dict | list) and depth == MAX_DEPTH:
            raise ValueError
        if isinstance(value, dict):
            return 1 + sum(1 + count(one, depth + 1) for one in value.values())
        if isinstance(value, list):
            return 1 + sum(count(one, depth + 1) for one in value)
        return 1

    try:
        n_values = count(body, 0)
    except ValueError:
        return None
    return n_values if isinstance(body, dict) and n_values <= max_values else None


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=40)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=70), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip
bodies = st.dictionaries(st.text(max_size=5), values, max_size=6).map(packed)


@given(
    bodies,
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 255)), max_size=2),
)
@example(b"\x81\xa1a" * 5 + b"\xc0", 40, [])
def test_the_scan_agrees_with_msgpack(
    payload: bytes, max_values: int, flips: list[tuple[int, int]]
) -> None:
    broken = bytearray(payload)
    for at, byte in flips:
        broken[at % len(broken)] = byte
    # raw msgpack takes bytes for text, which a frame may not hold: those are none of the scan's doubts
    if any(0xC4 <= byte <= 0xC6 for byte in broken):
        return
    expected = reference(bytes(broken), max_values)
    try:
        found: int | None = scan(bytes(broken), max_values)
    except ScanError:
        found = None
    assert found == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_a_short_error(payload: bytes) -> None:
    for read in (lambda: wire.unpack(payload, wire.TO_ENGINE), lambda: wire.unpack_hello(payload)):
        try:
            frame = read()
        except wire.WireError as error:
            assert len(str(error)) < 300  # noqa: PT017
        else:
            assert attrs.has(type(frame))
