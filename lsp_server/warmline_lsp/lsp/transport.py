"""A language server on standard streams or a socket, which survives any input.

This module replaces pygls' reading loop: that ends the process at an invalid header, and does not answer a request
whose JSON it cannot parse.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from threading import Event
from typing import TYPE_CHECKING, BinaryIO, cast

from pygls.io_ import StdinAsyncReader, StdoutWriter
from pygls.lsp.server import LanguageServer

from .messages import Stream, receive_all
from .protocol import Protocol, described

if TYPE_CHECKING:
    from pygls.io_ import AsyncWriter

log = logging.getLogger(__name__)


class StreamServer(LanguageServer):
    """Serves one client."""

    def start_io(self, stdin: BinaryIO | None = None, stdout: BinaryIO | None = None) -> None:
        """Serves on standard streams until the client closes them."""
        stream = StdinAsyncReader(stdin or sys.stdin.buffer, self.thread_pool)
        self.protocol.set_writer(StdoutWriter(stdout or sys.stdout.buffer))
        try:
            asyncio.run(self._serve(stream, Event()))
        except BrokenPipeError:
            log.error("the client closed the connection")
        except (KeyboardInterrupt, SystemExit):
            pass
        finally:
            self.shutdown()

    def start_tcp(self, host: str, port: int) -> None:
        """Serves one client on a TCP port."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.protocol.set_writer(cast("AsyncWriter", writer))
            try:
                await self._serve(reader, stop)
            finally:
                self.shutdown()

        async def listen() -> None:
            self._server = server = await asyncio.start_server(connected, host, port)
            async with server:
                await server.serve_forever()

        self._stop_event = stop = Event()
        try:
            asyncio.run(listen())
        except asyncio.CancelledError:
            log.debug("the server was closed")

    async def _serve(self, stream: Stream, stop: Event) -> None:
        self._stop_event = stop
        asyncio.get_running_loop().set_exception_handler(_log_safely)
        await receive_all(stream, self._receive, stop.is_set)

    def _receive(self, body: bytes | None) -> None:
        try:
            cast(Protocol, self.protocol).receive(body)
        except BrokenPipeError:
            raise
        except Exception as error:  # one message must not end the process
            log.error("a message failed: %s", described(error))


def _log_safely(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Logs an error of asyncio without its message, which may contain values from the client."""
    error = context.get("exception")
    log.error("in the background: %s", described(error) if isinstance(error, BaseException) else "")
