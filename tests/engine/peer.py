"""A client of the engine that speaks in frames."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest

from warmline_protocol import wire

F = TypeVar("F", bound=wire.Frame)
TEXT = "def greet(name):\n    return 'hello ' + name\n\n\ndef main():\n    print(greet('you'))\n"
WITHIN_S = 60

_open_peers: list[Peer] = []


@pytest.fixture(autouse=True)
async def close_peers() -> AsyncIterator[None]:
    """Ends what a test left open; a module that has it by name need do no more."""
    yield
    for peer in _open_peers:
        await peer.leave()
    _open_peers.clear()


class Peer:
    """A client that remembers what it was told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        _open_peers.append(self)

    def send(self, frame: wire.Frame) -> None:
        self.writer.write(wire.pack(frame))

    async def until(self, kind: type[F]) -> F:
        async with asyncio.timeout(WITHIN_S):
            while True:
                frame = await wire.read(self.reader)
                if isinstance(frame, kind):
                    return frame

    async def closed(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            await self.reader.read()

    async def leave(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
