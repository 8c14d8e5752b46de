"""JSON-RPC messages as bytes: safe parsing of any input, and LSP's framing of a stream.

JSON does not limit the size of numbers or the depth of nesting. Here a number that is too large becomes an infinity,
and a message that is nested too deeply raises an error with the id of the request, so that it can be answered.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

MAX_DIGITS = 400  # of a whole number; longer ones exceed the range of a double
MAX_BYTES = 1 << 28  # of a message; longer ones are skipped
_SKIP_BYTES = 1 << 20

# a string, a bracket or a separator
# an unterminated string matches up to the end of the text: otherwise each quote in it would be tried again,
# which takes quadratic time
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\],:]', re.DOTALL)


class MessageError(Exception):
    """A message that cannot be parsed. `request_id` is None if it has no id or the id cannot be read."""

    def __init__(self, message: str, request_id: str | int | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id


class Stream(Protocol):
    """A source of messages."""

    def readline(self) -> Awaitable[bytes]: ...

    def readexactly(self, n: int, /) -> Awaitable[bytes]: ...


def parse(body: bytes) -> Any:
    """The value of a JSON text. The constants `NaN` and `Infinity` are accepted as floats.

    Raises: MessageError.
    """
    try:
        return json.loads(body, parse_int=_integer)
    except RecursionError:
        raise MessageError("the message is nested too deeply", _request_id(body)) from None
    except ValueError:  # also for invalid UTF-8
        raise MessageError("the message is not JSON") from None


def is_request_id(value: object) -> bool:
    """Whether a value is valid as the id of a request."""
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


async def receive_all(
    stream: Stream, receive: Callable[[bytes | None], None], is_stopped: Callable[[], bool]
) -> None:
    """Passes the body of each message to `receive` until the stream ends; None for a message that is too long."""
    while not is_stopped():
        length = await _next_length(stream)
        if length is None:
            return
        if length > MAX_BYTES:
            if not await _skip(stream, length):
                return
            receive(None)
            continue
        body = await _read(stream, length)
        if len(body) < length:
            return
        receive(body)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def _request_id(body: bytes) -> str | int | None:
    """The member `id` of the outermost object, found without recursion."""
    text, depth, key = body.decode("utf-8", "replace"), 0, ""
    tokens = list(_TOKEN.finditer(text))
    for token, following in itertools.pairwise(tokens):
        mark = token.group()
        if mark in "{[":
            depth += 1
        elif mark in "}]":
            depth -= 1
        elif depth == 1 and mark[0] == '"' and following.group() == ":":
            key = mark
        elif depth == 1 and mark == ":" and key == '"id"':
            # a string is a token itself, a number is the text before the next token
            value = following.group() if following.group()[0] == '"' else None
            raw = value or text[token.end() : following.start()].strip()
            try:
                found = json.loads(raw, parse_int=_integer)
            except ValueError:
                return None
            return found if is_request_id(found) else None
    return None


async def _next_length(stream: Stream) -> int | None:
    """The length in the next message's headers; None at the end of the stream."""
    length: int | None = None
    while line := await _line(stream):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            digits = value.strip()
            length = int(digits) if digits.isdigit() and len(digits) < 16 else None
        elif not line.strip() and length is not None:
            return length
    return None


async def _line(stream: Stream) -> bytes:
    try:
        return await stream.readline()
    except ValueError:  # a line longer than the stream's limit
        return b"?\n"
    except ConnectionError:
        return b""


async def _read(stream: Stream, length: int) -> bytes:
    try:
        return await stream.readexactly(length) if length else b""
    except asyncio.IncompleteReadError as error:
        return error.partial
    except ConnectionError:
        return b""


async def _skip(stream: Stream, length: int) -> bool:
    """Reads and drops `length` bytes; False if the stream ends before."""
    while length:
        part = min(length, _SKIP_BYTES)
        if len(await _read(stream, part)) < part:
            return False
        length -= part
    return True
