"""Bytes to messages: any input is either parsed or refused, and the stream goes on behind it."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmline_lsp.lsp import messages
from warmline_lsp.lsp.messages import MessageError, parse, receive_all

DEEP = "[" * 3000 + "]" * 3000
ids = st.one_of(st.integers(-(2**53), 2**53), st.text())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Infinity", math.inf),
        ("-Infinity", -math.inf),
        ("1e400", math.inf),
        ("1" * 5001, math.inf),
        ("-" + "1" * 5001, -math.inf),
        ("1" * 300, int("1" * 300)),
        ('"\\ud800"', "\ud800"),
    ],
    ids=["Infinity", "-Infinity", "1e400", "long", "-long", "large", "surrogate"],
)
def test_every_number_and_text_is_taken(text: str, value: object) -> None:
    assert parse(f'{{"a": {text}}}'.encode()) == {"a": value}


def test_not_a_number_is_taken() -> None:
    assert math.isnan(parse(b"NaN"))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe{", b'{"a": \x80}', b"[1,]", b"{}{}"])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(MessageError, match="not JSON") as met:
        parse(body)
    assert met.value.request_id is None


@settings(deadline=None)
@given(ids, st.text(), st.booleans())
def test_what_is_nested_too_deeply_keeps_its_id(request_id: Any, text: str, is_first: bool) -> None:
    inner = f'{{"id": 3, "text": {json.dumps(text)}, "deep": {DEEP}}}'
    members = [f'"params": {inner}', f'"id":{json.dumps(request_id)}', f'"x": {json.dumps(text)}']
    body = ", ".join(members[::-1] if is_first else members)
    with pytest.raises(MessageError, match="deeply") as met:
        parse(f"{{{body}}}".encode())
    assert met.value.request_id == request_id


@pytest.mark.parametrize("request_id", ["null", "[1]", "{}", "1.5", "true", "1e400", "NaN", "x"])
def test_an_id_that_is_none_is_not_taken(request_id: str) -> None:
    with pytest.raises(MessageError) as met:
        parse(f'{{"id": {request_id}, "params": {DEEP}}}'.encode())
    assert met.value.request_id is None


class Bytes:
    """A stream of bytes."""

    def __init__(self, data: bytes) -> None:
        self._reader = asyncio.StreamReader(limit=4096)
        self._reader.feed_data(data)
        self._reader.feed_eof()

    async def readline(self) -> bytes:
        return await self._reader.readline()

    async def readexactly(self, n: int, /) -> bytes:
        return await self._reader.readexactly(n)


def received(data: bytes) -> list[bytes | None]:
    found: list[bytes | None] = []

    async def run() -> None:
        await receive_all(Bytes(data), found.append, lambda: False)

    asyncio.run(run())
    return found


def framed(body: bytes, header: str = "Content-Length: {}\r\n\r\n") -> bytes:
    return header.format(len(body)).encode() + body


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40)))
def test_messages_are_read_one_after_the_other(bodies: list[bytes]) -> None:
    assert received(b"".join(map(framed, bodies))) == bodies


@pytest.mark.parametrize(
    "header",
    [
        "content-length:{}\r\n\r\n",
        "Content-Type: x\r\nContent-Length: {}\r\n\r\n",
        "Content-Length: {}\nContent-Type: x\n\n",
        "\r\n\r\nContent-Length: x\r\nContent-Length: {}\r\n\r\n",
        f"Content-Length: {'9' * 5000}\r\nContent-Length: {{}}\r\n\r\n",
        f"{'x' * 9000}\r\nContent-Length: {{}}\r\n\r\n",
        "Content-Length: -3\r\nContent-Length: {}\r\n\r\n",
    ],
    ids=["lower case", "two", "line feeds", "no number", "long number", "long line", "negative"],
)
def test_headers_of_any_kind_are_survived(header: str) -> None:
    assert received(framed(b"{}", header) + framed(b"[]")) == [b"{}", b"[]"]


def test_a_message_that_is_too_long_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_BYTES", 10)
    assert received(framed(b"x" * 5000) + framed(b"{}")) == [None, b"{}"]
    assert received(framed(b"x" * 5000)[:-1]) == []


def test_a_message_that_is_cut_off_is_dropped() -> None:
    assert received(framed(b"{}") + framed(b"[1, 2]")[:-1]) == [b"{}"]
