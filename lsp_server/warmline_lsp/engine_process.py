"""Finding the engine, or starting it: one for all windows of a user that want the same model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path

from warmline_engine import processes, wire
from warmline_engine.places import cache_folder
from warmline_engine.remote import TOKEN_VARIABLE

from . import detached, places
from .errors import EngineError, EngineRefused
from .settings import Settings

START_WITHIN_S, LOOKED_AGAIN_S = 60.0, 0.05

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Command = Callable[[Settings, Path], list[str]]


def engine_command(settings: Settings, path: Path) -> list[str]:
    """How the engine is started for `path`, a socket; on Windows a file for port and token."""
    where = "--port-file" if sys.platform == "win32" else "--socket"
    log = cache_folder() / f"engine-{path.stem}.log"
    return [
        *processes.python("-m", "warmline_engine.service", where, str(path)),
        "--model", settings.model, "--device", settings.device, "--dtype", settings.dtype,
        "--threads", str(settings.threads), "--context-tokens", str(settings.context_tokens),
        "--cache-mebibytes", str(settings.cache_mebibytes),
        "--idle-exit-minutes", str(settings.idle_exit_minutes), "--log", str(log),
        "--small-model", settings.small_model, "--switching", settings.switching,
        "--switch-above", str(settings.switch_above), "--switch-window", str(settings.switch_window),
        "--switch-goal", settings.switch_goal, "--switch-share", str(settings.switch_share),
        "--switch-dwell", str(settings.switch_dwell),
        "--switch-within-ms", str(settings.switch_within_ms),
        *(["--low-memory"] if settings.low_memory else []),
    ]  # fmt: skip


async def reach(settings: Settings, client: str, command: Command = engine_command) -> Streams:
    """A connection to the engine of these settings, which is started where there is none.

    Raises: EngineError, when it does not come up or will not talk to us.
    """
    path = places.socket_path(settings.engine_options())
    streams = await _connect(path)
    if streams is None:
        streams = await _start(path, command(settings, path))
    try:
        await greet(streams, _token(path), client)
    except BaseException:  # a cancel too: nobody else knows of this connection
        streams[1].close()
        raise
    return streams


async def greet(streams: Streams, token: str, client: str) -> None:
    """Shows who we are, and returns when that was accepted.

    Raises: EngineRefused, when it was not; EngineError, when there is no answer that can be read.
    """
    reader, writer = streams
    try:
        writer.write(wire.pack(wire.Hello(wire.PROTOCOL_VERSION, token, client)))
        async with asyncio.timeout(START_WITHIN_S):
            answer = await wire.read(reader)
    except (wire.WireError, asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
        raise EngineError(f"the engine did not say welcome: {type(error).__name__}") from None
    if isinstance(answer, wire.Failure):
        raise EngineRefused(answer.code, f"the engine refused us: {answer.message}")
    if not isinstance(answer, wire.Welcome):
        raise EngineError(f"the engine did not say welcome: {type(answer).__name__}")
    if answer.version != wire.PROTOCOL_VERSION:
        message = f"the engine speaks protocol {answer.version}, we speak {wire.PROTOCOL_VERSION}"
        raise EngineRefused("wrong_version", message)


@asynccontextmanager
async def _locked(path: Path) -> AsyncGenerator[None]:
    """Holds a lock between processes.

    Raises: EngineError, when another holds it for too long.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    for _ in range(round(START_WITHIN_S / LOOKED_AGAIN_S)):
        # asked again and again, not waited for in a thread: a thread would take it though nobody wants it any more
        with contextlib.suppress(Timeout), lock.acquire(timeout=0):
            yield
            return
        await asyncio.sleep(LOOKED_AGAIN_S)
    raise EngineError("another window is starting the engine and does not finish")


async def _start(path: Path, command: list[str]) -> Streams:
    async with _locked(path.with_suffix(".lock")):
        return await _start_alone(path, command)


async def _start_alone(path: Path, command: list[str]) -> Streams:
    try:
        # who held the lock before us may have started it
        streams = await _connect(path)
        if streams is not None:
            return streams
        path.unlink(missing_ok=True)
        with _started(command) as process:
            async with asyncio.timeout(START_WITHIN_S):
                while (streams := await _connect(path)) is None:
                    if process.poll() is not None:
                        raise EngineError(
                            f"the engine ended at once with code {process.returncode}; see its log in "
                            f"{cache_folder()}"
                        )
                    await asyncio.sleep(LOOKED_AGAIN_S)
        return streams
    except TimeoutError:
        raise EngineError(f"the engine did not start within {START_WITHIN_S:.0f} s") from None


@contextlib.contextmanager
def _started(command: list[str]) -> Generator[subprocess.Popen[bytes]]:
    """Starts a process that outlives us, and tells of its end for as long as this is entered."""
    # the token of another engine is none of its business
    environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
    process = detached.start(command, environment)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()


async def _connect(path: Path) -> Streams | None:
    limit = wire.MAX_FRAME_BYTES + 4096
    with contextlib.suppress(OSError, ValueError, KeyError):
        if sys.platform == "win32":
            port = int(json.loads(path.read_text())["port"])
            return await asyncio.open_connection("127.0.0.1", port, limit=limit)
        return await asyncio.open_unix_connection(os.fspath(path), limit=limit)
    return None


def _token(path: Path) -> str:
    return str(json.loads(path.read_text())["token"]) if sys.platform == "win32" else ""
