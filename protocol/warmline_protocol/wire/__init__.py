"""The protocol between language server and engine: frames, their limits, and reading them from a stream.

A frame is a `u32` little-endian byte length and a payload (`packing.py`). Offsets count code points. Other modules use
all of the protocol through this one.
"""

from __future__ import annotations

from typing import Protocol, cast

from .error import WireError
from .frames import TO_ENGINE, TO_SERVER, Frame, document_of, request_id_of
from .frames_to_engine import (
    AskContext,
    AskStatus,
    Cancel,
    Close,
    Complete,
    Edit,
    FilesChanged,
    Hello,
    MoveCursor,
    Open,
    Quit,
    TextEdit,
    ToEngine,
)
from .frames_to_server import (
    STOP_REASONS,
    Completion,
    Context,
    ContextItem,
    DocumentStatus,
    Encoded,
    Failure,
    Item,
    ModelReady,
    Progress,
    Status,
    ToServer,
    Welcome,
)
from .limits import (
    ALTERNATIVES_BY,
    CONTRASTS,
    MAX_ALTERNATIVES,
    MAX_DEADLINE_MS,
    MAX_FRAME_BYTES,
    MAX_HELLO_BYTES,
    MAX_HELLO_VALUES,
    MAX_LINES,
    MAX_MESSAGE,
    MAX_NAME,
    MAX_TEXT,
    MAX_TOKENS,
    MAX_VALUES,
    MAX_VIRTUAL_TEXT,
)
from .packing import LENGTH, pack, unpack, unpack_hello

__all__ = [
    "ALTERNATIVES_BY",
    "CONTRASTS",
    "MAX_ALTERNATIVES",
    "MAX_DEADLINE_MS",
    "MAX_FRAME_BYTES",
    "MAX_HELLO_BYTES",
    "MAX_HELLO_VALUES",
    "MAX_LINES",
    "MAX_MESSAGE",
    "MAX_NAME",
    "MAX_TEXT",
    "MAX_TOKENS",
    "MAX_VALUES",
    "MAX_VIRTUAL_TEXT",
    "PROTOCOL_VERSION",
    "STOP_REASONS",
    "TO_ENGINE",
    "TO_SERVER",
    "AskContext",
    "AskStatus",
    "ByteReader",
    "Cancel",
    "Close",
    "Complete",
    "Completion",
    "Context",
    "ContextItem",
    "DocumentStatus",
    "Edit",
    "Encoded",
    "Failure",
    "FilesChanged",
    "Frame",
    "Hello",
    "Item",
    "ModelReady",
    "MoveCursor",
    "Open",
    "Progress",
    "Quit",
    "Status",
    "TextEdit",
    "ToEngine",
    "ToServer",
    "Welcome",
    "WireError",
    "document_of",
    "pack",
    "read",
    "read_payload",
    "request_id_of",
    "unpack",
    "unpack_hello",
]

PROTOCOL_VERSION = 7


class ByteReader(Protocol):
    """The part of asyncio.StreamReader that `read` uses."""

    async def readexactly(self, n: int, /) -> bytes: ...


async def read_payload(stream: ByteReader, max_bytes: int = MAX_FRAME_BYTES) -> bytes:
    """The next frame's payload.

    Raises: WireError `frame_too_long`, after which the stream cannot be used; asyncio.IncompleteReadError at the end of
    the stream.
    """
    (length,) = cast(tuple[int], LENGTH.unpack(await stream.readexactly(LENGTH.size)))
    if length > max_bytes:
        raise WireError(
            "frame_too_long", f"a frame of {length} bytes; at most {max_bytes} are taken"
        )
    return await stream.readexactly(length)


async def read(stream: ByteReader, max_bytes: int = MAX_FRAME_BYTES) -> Frame:
    """The next frame of a stream.

    Raises: WireError, as `unpack` and `read_payload`; asyncio.IncompleteReadError at the end of the stream.
    """
    return unpack(await read_payload(stream, max_bytes))
