"""Finds the engine of this machine, starts it if there is none, and ends it.

All windows of a user share one engine for the same model. An engine that does not answer is killed if its process is
known for certain. Otherwise it loses its socket, so that the next engine takes its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

from warmline_lsp.errors import EngineHung, EngineRefused, EngineUnavailable
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire

from . import socket_paths
from .local_connection import Streams, connect_at, token_at
from .peer_process import kill_peer, peer_pid
from .starting import Command, engine_command, start_engine

log = logging.getLogger(__name__)

WELCOMED_WITHIN_S = 45.0
PROBED_WITHIN_S = 15.0


@dataclass(frozen=True)
class Met:
    """A connection that an engine has accepted; `pid` is its process, as it claims."""

    streams: Streams
    path: Path
    pid: int


async def meet(settings: Settings, client: str, command: Command = engine_command) -> Met:
    """Connects to the engine of these settings, which is started where there is none.

    Raises: EngineUnavailable, when it does not start or refuses the connection; EngineHung, when it did not answer and
    was replaced.
    """
    path = socket_paths.socket_path(settings.engine_options())
    streams = await connect_at(path)
    if streams is None:
        streams = await start_engine(path, command(settings, path))
    try:
        welcome = await handshake(streams, token_at(path), client)
    except EngineHung:
        await replace_hung(streams, path)
        raise
    except BaseException:  # of a cancel too: nothing else closes this connection
        streams[1].close()
        raise
    return Met(streams, path, welcome.pid)


async def handshake(streams: Streams, token: str, client: str) -> wire.Welcome:
    """Sends the token, and returns the engine's answer once it has accepted the connection.

    Raises: EngineRefused, when it has not; EngineHung, when there is no answer; EngineUnavailable, when the answer
    cannot be read.
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
    except OSError as error:  # the engine's queue of new connections is full
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
            probe = await connect_at(path)
            if probe is None:
                return False
            try:
                await handshake(probe, token_at(path), "probe")
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
    streams = await connect_at(path)
    if streams is None:
        return
    reader, writer = streams
    try:
        token = token_at(path)
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
    found = await connect_at(path)
    if found is None:
        return True  # no engine, or one that accepts no connections
    found[1].close()
    return peer_pid(found[1]) == peer_pid(streams[1])
