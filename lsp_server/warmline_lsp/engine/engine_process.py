"""Finding the engine, or starting it: one for all windows of a user that want the same model.

An engine that does not answer is replaced: it is killed where it is known to be the engine, and else left without its
socket, so that the next one takes its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from warmline_lsp.errors import EngineHung, EngineRefused, EngineUnavailable
from warmline_lsp.settings.settings import Settings
from warmline_protocol import processes, wire
from warmline_protocol.engine_options import EngineOptions
from warmline_protocol.folders import cache_folder, clean_environment
from warmline_protocol.remote_address import TOKEN_VARIABLE

from . import detached, socket_paths
from .peer_process import kill_peer, peer_pid

log = logging.getLogger(__name__)

LOOKED_AGAIN_S = 0.05
STARTED_WITHIN_S = 180.0  # a slow machine loads libraries for long before the engine listens
LOCKED_WITHIN_S = STARTED_WITHIN_S + 20.0
N_LOCKS = 3  # a process that hangs may hold one for ever
CONNECTED_WITHIN_S = 10.0
WELCOMED_WITHIN_S = 45.0
PROBED_WITHIN_S = 15.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
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
    """The log of the engine at a socket, None where there is no folder for it."""
    try:
        return cache_folder() / f"engine-{path.stem}.log"
    except OSError:
        return None


@dataclass(frozen=True)
class Met:
    """A connection to an engine that has accepted us; `pid` is the process that it says it is."""

    streams: Streams
    path: Path
    pid: int


async def connect_or_start(
    settings: Settings, client: str, command: Command = engine_command
) -> Streams:
    """As `meet`; returns the connection alone."""
    return (await meet(settings, client, command)).streams


async def meet(settings: Settings, client: str, command: Command = engine_command) -> Met:
    """Connects to the engine of these settings, which is started where there is none.

    Raises: EngineUnavailable, when it does not come up or will not talk to us; EngineHung, when it did not answer and
    was
    replaced.
    """
    path = socket_paths.socket_path(settings.engine_options())
    streams = await _connect(path)
    if streams is None:
        streams = await _start(path, command(settings, path))
    try:
        welcome = await handshake(streams, _token(path), client)
    except EngineHung:
        await replace_hung(streams, path)
        raise
    except BaseException:  # a cancel too: nobody else knows of this connection
        streams[1].close()
        raise
    return Met(streams, path, welcome.pid)


async def handshake(streams: Streams, token: str, client: str) -> wire.Welcome:
    """Shows who we are, and returns what the engine says of itself once it has accepted us.

    Raises: EngineRefused, when it has not; EngineHung, when there is no answer; EngineUnavailable, when the answer
    cannot be
    read.
    """
    reader, writer = streams
    try:
        writer.write(wire.pack(wire.Hello(wire.PROTOCOL_VERSION, token, client)))
        async with asyncio.timeout(WELCOMED_WITHIN_S):
            answer = await wire.read(reader)
    except TimeoutError:
        raise EngineHung("the engine did not answer in time") from None
    except (wire.WireError, asyncio.IncompleteReadError, ConnectionError) as error:
        raise EngineUnavailable(
            f"unexpected answer from the engine: {type(error).__name__}"
        ) from None
    except OSError as error:  # so many wait to be accepted that the connection was never made
        raise EngineHung(f"the engine does not accept connections: {error.strerror}") from None
    if isinstance(answer, wire.Failure):
        raise EngineRefused(answer.code, f"the engine refused the connection: {answer.message}")
    if not isinstance(answer, wire.Welcome):
        raise EngineUnavailable(f"unexpected answer from the engine: {type(answer).__name__}")
    if answer.version != wire.PROTOCOL_VERSION:
        message = (
            f"the engine uses protocol version {answer.version}, the server {wire.PROTOCOL_VERSION}"
        )
        raise EngineRefused("wrong_version", message)
    return answer


async def is_answering(settings: Settings, streams: Streams) -> bool:
    """Whether the process at the other end of a connection answers a new one.

    Its event loop does, even while a model is loaded or a completion is computed.
    """
    path = socket_paths.socket_path(settings.engine_options())
    try:
        async with asyncio.timeout(PROBED_WITHIN_S):
            probe = await _connect(path)
            if probe is None:
                return False
            try:
                await handshake(probe, _token(path), "probe")
            finally:
                probe[1].close()
    except EngineRefused:
        return True
    except (EngineUnavailable, OSError, ValueError, KeyError):
        return False
    return peer_pid(probe[1]) == peer_pid(streams[1])


async def replace_hung(streams: Streams, path: Path, claimed: int | None = None) -> None:
    """Kills the engine at the other end, or takes its socket away, so that the next one is started anew."""
    try:
        # another engine may have been started at this path since
        is_met_here = await _is_met(path, streams)
        if not await kill_peer(streams[1], path, claimed):
            log.warning("could not end an engine that does not answer")
        if is_met_here:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    finally:
        streams[1].transport.abort()


async def end(settings: Settings, within_s: float) -> None:
    """Ends the engine of these settings, for all windows, if there is one; one that does not end is replaced."""
    path = socket_paths.socket_path(settings.engine_options())
    streams = await _connect(path)
    if streams is None:
        return
    reader, writer = streams
    try:
        token = _token(path)
        hello = wire.Hello(wire.PROTOCOL_VERSION, token, "restart")
        writer.write(wire.pack(hello) + wire.pack(wire.Quit()))
        async with asyncio.timeout(within_s):
            while await reader.read(2**16):
                pass
    except TimeoutError:
        await replace_hung(streams, path)
    except (OSError, ValueError, KeyError):
        pass  # it is gone
    finally:
        writer.close()


async def _is_met(path: Path, streams: Streams) -> bool:
    """Whether who listens at a path is the process at the other end of a connection."""
    found = await _connect(path)
    if found is None:
        return True  # nobody, or one that accepts no more
    found[1].close()
    return peer_pid(found[1]) == peer_pid(streams[1])


@asynccontextmanager
async def _locked(path: Path) -> AsyncGenerator[None]:
    """Holds a lock between processes. One that another holds for too long gives way to the next.

    Raises: EngineUnavailable, when all are held.
    """
    from filelock import FileLock, Timeout

    for k in range(N_LOCKS):
        lock = FileLock(path.with_suffix(f".{k}.lock" if k else ".lock"))
        for _ in range(round(LOCKED_WITHIN_S / LOOKED_AGAIN_S)):
            # asked again and again, not waited for in a thread: a thread would take it though nobody wants it any more
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


async def _start(path: Path, command: list[str]) -> Streams:
    async with _locked(path):
        return await _start_alone(path, command)


async def _start_alone(path: Path, command: list[str]) -> Streams:
    # who held the lock before us may have started it
    streams = await _connect(path)
    if streams is not None:
        return streams
    _clear(path)
    with _started(command) as process:
        try:
            async with asyncio.timeout(STARTED_WITHIN_S):
                while (streams := await _connect(path)) is None:
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
    """Removes what an earlier engine, or somebody else, has left in the socket's place.

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
    """Starts a process that outlives us, and tells of its end for as long as this is entered."""
    environment = clean_environment(os.environ)
    environment.pop(TOKEN_VARIABLE, None)  # it is another engine's
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


async def _connect(path: Path) -> Streams | None:
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


def _token(path: Path) -> str:
    return str(json.loads(path.read_text())["token"]) if sys.platform == "win32" else ""
