"""Connections to an engine of this machine, at a Unix socket or a loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

from warmline_protocol import wire

CONNECTED_WITHIN_S = 10.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect_at(path: Path) -> Streams | None:
    """A connection to the engine at a path; None if none accepts it."""
    limit = wire.MAX_FRAME_BYTES + 4096
    # a Unix socket whose queue is full would block for ever
    with contextlib.suppress(OSError, ValueError, KeyError):
        async with asyncio.timeout(CONNECTED_WITHIN_S):
            if sys.platform == "win32":
                port = int(json.loads(path.read_text())["port"])
                return await asyncio.open_connection("127.0.0.1", port, limit=limit)
            if path.is_symlink():
                return None
            return await asyncio.open_unix_connection(os.fspath(path), limit=limit)
    return None


def token_at(path: Path) -> str:
    """The token of the engine at a path; empty for a Unix socket."""
    return str(json.loads(path.read_text())["token"]) if sys.platform == "win32" else ""
