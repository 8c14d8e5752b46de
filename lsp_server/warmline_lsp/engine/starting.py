"""Starts an engine on this machine: one for all windows, whichever of them comes first."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path

from warmline_lsp.errors import EngineUnavailable
from warmline_lsp.settings.settings import Settings
from warmline_protocol import processes
from warmline_protocol.engine_options import EngineOptions
from warmline_protocol.folders import cache_folder, clean_environment
from warmline_protocol.remote_address import TOKEN_VARIABLE

from . import detached
from .local_connection import Streams, connect_at

log = logging.getLogger(__name__)

LOOKED_AGAIN_S = 0.05
STARTED_WITHIN_S = 180.0  # on a slow machine loading libraries takes long
LOCKED_WITHIN_S = STARTED_WITHIN_S + 20.0
N_LOCKS = 3  # a process that hangs may hold one for ever

Command = Callable[[Settings, Path], list[str]]


def engine_command(settings: Settings, path: Path) -> list[str]:
    """The command that starts an engine for `path`: a socket, or on Windows a file for port and token."""
    where = "--port-file" if sys.platform == "win32" else "--socket"
    log = log_path(path)
    return [
        *processes.python("-m", "warmline_engine.process.service", where, str(path)),
        *EngineOptions.of(settings).to_arguments(),
        *(["--log", str(log)] if log else []),
    ]


def log_path(path: Path) -> Path | None:
    """The log of the engine at a socket; None if there is no folder for it."""
    try:
        return cache_folder() / f"engine-{path.stem}.log"
    except OSError:
        return None


async def start_engine(path: Path, command: list[str]) -> Streams:
    """Starts an engine unless another window does, and connects to it.

    Raises: EngineUnavailable.
    """
    async with _locked(path):
        return await _start_alone(path, command)


@asynccontextmanager
async def _locked(path: Path) -> AsyncGenerator[None]:
    """Holds a lock between processes. If another process holds one for too long, the next lock is tried.

    Raises: EngineUnavailable, when all are held.
    """
    from filelock import FileLock, Timeout

    for k in range(N_LOCKS):
        lock = FileLock(path.with_suffix(f".{k}.lock" if k else ".lock"))
        for _ in range(round(LOCKED_WITHIN_S / LOOKED_AGAIN_S)):
            # polled: a thread that waits for the lock would still take it after a cancel
            try:
                held = lock.acquire(timeout=0)
            except Timeout:
                await asyncio.sleep(LOOKED_AGAIN_S)
                continue
            except OSError as error:
                message = f"{lock.lock_file} cannot be locked: {error.strerror}; remove it"
                raise EngineUnavailable(message) from None
            with held:
                yield
            return
        log.warning("%s is locked by a process that does not finish", lock.lock_file)
    raise EngineUnavailable(
        "other windows have been starting the engine for too long; close them or end their processes"
    )


async def _start_alone(path: Path, command: list[str]) -> Streams:
    # the last holder of the lock may have started it
    streams = await connect_at(path)
    if streams is not None:
        return streams
    _clear(path)
    with _started(command) as process:
        try:
            async with asyncio.timeout(STARTED_WITHIN_S):
                while (streams := await connect_at(path)) is None:
                    if process.poll() is not None:
                        raise EngineUnavailable(_why_ended(process.returncode, path))
                    await asyncio.sleep(LOOKED_AGAIN_S)
        except TimeoutError:
            detached.kill(process)
            raise EngineUnavailable(
                f"the engine did not start within {STARTED_WITHIN_S:.0f} s"
            ) from None
    return streams


def _why_ended(code: int, path: Path) -> str:
    if code == detached.CANNOT_START:
        return f"cannot start the engine: {sys.executable} does not run; reinstall Warmline"
    log = log_path(path)
    hint = (
        f"see its log {log}"
        if log is not None and log.exists()
        else "it wrote no log; run `warmline doctor`"
    )
    return f"the engine exited right after its start with code {code}; {hint}"


def _clear(path: Path) -> None:
    """Removes a file or empty folder in the socket's place, as an earlier engine leaves it.

    Raises: EngineUnavailable, when it cannot be removed.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        message = f"{path} blocks the engine's socket: {error.strerror}; remove it"
        raise EngineUnavailable(message) from None


@contextlib.contextmanager
def _started(command: list[str]) -> Generator[subprocess.Popen[bytes]]:
    """Starts a process that outlives this one; its end can be noticed for as long as this is entered."""
    environment = clean_environment(os.environ)
    environment.pop(TOKEN_VARIABLE, None)  # it is a remote engine's
    try:
        process = detached.start(command, environment)
    except (OSError, ValueError) as error:  # no memory, too many processes, or no Python
        reason = getattr(error, "strerror", None) or error
        raise EngineUnavailable(f"cannot start the engine: {reason}") from None
    try:
        yield process
    finally:
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
