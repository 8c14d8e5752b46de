"""A real engine that listens on TCP, and an editor that uses it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
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
        *_command(model, port, *more),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, TOKEN_VARIABLE: token},
    )
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


@dataclass
class SharedRemote:
    """An engine that the tests of a module share. `log` is what it writes to standard error."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def n_accepted(self) -> int:
        """How many connections have shown the token."""
        return self.log.read_bytes().count(b"connected:")


@contextmanager
def shared_remote(model: Path, log: Path, *more: str) -> Iterator[SharedRemote]:
    """An engine as `remote` starts it; it must be alive at the end."""
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            _command(model, 0, *more), stderr=stderr, env={**os.environ, TOKEN_VARIABLE: TOKEN}
        )
    try:
        while (found := re.search(rb"listening on \S+:(\d+),", log.read_bytes())) is None:
            assert process.poll() is None, "the engine ended"
            time.sleep(0.05)
        yield SharedRemote(process, int(found[1]), log)
        assert process.poll() is None, "the engine died"
    finally:
        process.terminate()
        process.wait(WITHIN_S)


def _command(model: Path, port: int, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "warmline_engine.process.service", "--listen", f"127.0.0.1:{port}",
        "--model", str(model), "--threads", "1", *more,
    ]  # fmt: skip


def engines_of(home: dict[str, str]) -> list[Path]:
    """What was started on this machine."""
    return list(Path(home["XDG_RUNTIME_DIR"]).glob("warmline/*"))


async def has_ghost_text(client: Client) -> bool:
    client.open(URI, TEXT)
    return bool((await client.ask(URI, 5, 4)).items)


def said(client: Client) -> str:
    return client.statuses[-1].message
