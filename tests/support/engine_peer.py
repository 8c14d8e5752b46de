"""A client of the engine that speaks in frames."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from warmline_protocol import wire
from warmline_protocol.remote_address import (
    TOKEN_VARIABLE,
)

F = TypeVar("F", bound=wire.Frame)
TEXT = "def greet(name):\n    return 'hello ' + name\n\n\ndef main():\n    print(greet('you'))\n"
WITHIN_S = 300

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


TOKEN = "a token of this test alone"


def command(model: Path) -> list[str]:
    """An engine that serves other machines, on a loopback port."""
    return [
        sys.executable, "-m", "warmline_engine.process.service", "--listen", "127.0.0.1:0", "--model", str(model),
        "--threads", "1",
    ]  # fmt: skip


def port_in(line: bytes) -> int:
    """Where it listens, out of its log."""
    found = re.search(rb"listening on 127\.0\.0\.1:(\d+)", line)
    assert found is not None, line
    return int(found[1])


@asynccontextmanager
async def listening(model: Path) -> AsyncIterator[int]:
    """The port of an engine; it must be alive at the end."""
    process = await asyncio.create_subprocess_exec(
        *command(model), stderr=asyncio.subprocess.PIPE, env={**os.environ, TOKEN_VARIABLE: TOKEN}
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(WITHIN_S):
            while b"listening on" not in (line := await process.stderr.readline()):
                assert line, "the engine ended"
        yield port_in(line)
        assert process.returncode is None, "the engine died"
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(WITHIN_S):
            await process.communicate()


async def connected(port: int, first: wire.Frame) -> Peer:
    peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
    peer.send(first)
    return peer


async def greeted(port: int) -> Peer:
    peer = await connected(port, wire.Hello(wire.PROTOCOL_VERSION, TOKEN))
    await peer.until(wire.ModelReady)
    return peer
