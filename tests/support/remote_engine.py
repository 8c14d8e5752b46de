"""A real engine that listens on TCP, and an editor that uses it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.editor import WITHIN_S, Client
from warmline_protocol.remote_address import TOKEN_VARIABLE

TOKEN = "a token of this test alone"
URI = "file:///project/greet.py"
TEXT = "def greet(name):\n    return 'hello ' + name\n\n\ndef main():\n    print(greet('you'))\n"


@dataclass
class Remote:
    """An engine on another machine, as it were."""

    process: asyncio.subprocess.Process
    port: int


@asynccontextmanager
async def remote(
    model: Path, *more: str, port: int = 0, token: str = TOKEN
) -> AsyncIterator[Remote]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "warmline_engine.process.service", "--listen", f"127.0.0.1:{port}", "--model", str(model),
        "--threads", "1", *more, stderr=asyncio.subprocess.PIPE, env={**os.environ, TOKEN_VARIABLE: token},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(WITHIN_S):
            while b"listening on" not in (line := await process.stderr.readline()):
                assert line, "the engine ended"
        found = re.search(rb"listening on \S+:(\d+),", line)
        assert found is not None
        yield Remote(process, int(found[1]))
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(WITHIN_S):
            await process.communicate()


def engines_of(home: dict[str, str]) -> list[Path]:
    """What was started on this machine."""
    return list(Path(home["XDG_RUNTIME_DIR"]).glob("warmline/*"))


async def has_ghost_text(client: Client) -> bool:
    client.open(URI, TEXT)
    return bool((await client.ask(URI, 5, 4)).items)


def said(client: Client) -> str:
    return client.statuses[-1].message
