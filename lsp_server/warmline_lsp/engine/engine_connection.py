"""A connection to one engine, on this machine or another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from warmline_lsp.settings.settings import Settings

from . import engine_process
from .engine_process import Met, is_answering, meet
from .liveness import Limits, Watch
from .remote_engine import is_answering_remote, reach_remote
from .starting import Command

CLIENT = "warmline lsp"


@dataclass(eq=False)
class EngineConnection:
    """A connection that the engine has accepted. `met` is None if the engine is on another machine."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    met: Met | None
    is_loading: bool = True  # its model
    why_ended: str = "stopped"

    def start_watch(self, limits: Limits, probe: Callable[[], Awaitable[bool]]) -> None:
        """Prepares noticing that the engine hangs."""
        self.watch = Watch(limits, probe, lambda: self.is_loading)

    async def kill(self) -> None:
        """Ends an engine that hangs; of a remote one only the connection."""
        if self.met is None:
            self.writer.transport.abort()
        else:
            await engine_process.replace_hung(self.met.streams, self.met.path, self.met.pid)

    def close(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            self.writer.close()


async def connect(settings: Settings, command: Command, limits: Limits) -> EngineConnection:
    """Connects to the engine that the settings name. One of this machine is started if it does not run.

    Raises: EngineUnavailable.
    """
    if settings.remote_engine:
        connection = EngineConnection(*await reach_remote(settings, CLIENT), met=None)
        connection.start_watch(limits, lambda: is_answering_remote(settings))
        return connection
    met = await meet(settings, CLIENT, command)
    connection = EngineConnection(*met.streams, met=met)
    connection.start_watch(limits, lambda: is_answering(settings, met.streams))
    return connection
