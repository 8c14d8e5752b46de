"""The engine process: frames from a socket to the worker, and back.

`python -m warmline_engine.process.service --socket PATH --model NAME` listens on a Unix socket that only its user
may open; `--port-file FILE` listens on a loopback port instead and writes port and token to FILE. `--listen HOST:PORT`
serves other machines: it reads no file of a workspace, and is ended where it was started.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

import attrs

from warmline_engine.panics import describe
from warmline_protocol import wire
from warmline_protocol.broken_pipe import ends_with_reader
from warmline_protocol.engine_options import EngineOptions
from warmline_protocol.folders import clean_own_environment

from .command_line import parse
from .connections.acceptor import Acceptor
from .connections.connection import Connection
from .connections.handshake import read_hello
from .connections.listener import Listener
from .connections.local_address import FileMark, bind_port, bind_socket

log = logging.getLogger("warmline_engine")

VERSION = "0.2.0"
LOG_BYTES, N_LOGS = 2 * 2**20, 2
MAX_CONNECTIONS = 64  # of clients that have shown their token
MAX_LOGGED_REFUSALS = 10  # of one connection
FAILED_STATUS = 70  # of a process whose worker died


class Service:
    """Checks new clients and passes their frames on to the worker."""

    def __init__(self, options: argparse.Namespace, token: str, is_remote: bool = False) -> None:
        """`is_remote`: its clients may be on other machines."""
        self._options = options
        self._token = token
        self._is_remote = is_remote
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._idle_since = time.monotonic()
        self.stop = asyncio.Event()
        self.failure = ""  # the reason why the process ends
        # torch is imported once the process listens
        from .load_model import load_models
        from .worker import Worker

        self.worker = Worker(
            functools.partial(load_models, EngineOptions.from_arguments(options)),
            options.context_tokens,
            self._broadcast,
            measures_threads=not options.threads,
            on_death=self.fail,
        )
        threading.excepthook = self._on_thread_death
        self.worker.start()

    def fail(self, reason: str) -> None:
        """Ends the process with a reason, from any thread: without the worker it could answer nothing."""
        log.critical("%s; the engine ends", reason)
        self.failure = self.failure or reason
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self.stop.set)

    def _on_thread_death(self, death: threading.ExceptHookArgs) -> None:
        name = death.thread.name if death.thread else "a thread"
        reason = describe(death.exc_value) if death.exc_value else "no reason"
        if not self.failure:  # the worker has given its own
            self.fail(f"the thread {name} ended: {reason}")

    def _broadcast(self, frame: wire.ToServer) -> None:
        for connection in list(self._connections):
            connection.send(frame)

    async def serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        greeted: Callable[[], object] = lambda: None,
    ) -> None:
        """Serves one client until it leaves or breaks the protocol; `greeted` is called once it has shown its token."""
        connection = Connection(writer, self._loop)
        try:
            hello = await read_hello(reader, writer, self._token)
            if len(self._connections) >= MAX_CONNECTIONS:
                raise wire.WireError(
                    "too_many_clients", f"this engine serves at most {MAX_CONNECTIONS} clients"
                )
            log.info("connected: %.100s", ascii(hello.client))
            greeted()
            connection.send(wire.Welcome(wire.PROTOCOL_VERSION, VERSION, os.getpid()))
            self._connections.add(connection)
            known = self.worker.model.state()
            if known is not None:
                connection.send(known)
            await self._read_on(reader, connection)
        except wire.WireError as error:
            connection.send(wire.Failure(None, error.code, str(error)))
        except (asyncio.IncompleteReadError, OSError):  # of TLS and time too
            pass
        finally:
            if connection in self._connections:
                self._connections.discard(connection)
                self.worker.leave(connection)
                self._idle_since = time.monotonic()
            await connection.close()

    async def _read_on(self, reader: asyncio.StreamReader, connection: Connection) -> None:
        n_refused = 0
        while True:
            await connection.has_room()
            payload = await wire.read_payload(reader)
            try:
                frame = wire.unpack(payload, wire.TO_ENGINE)
            except wire.WireError as error:
                n_refused += 1
                if n_refused <= MAX_LOGGED_REFUSALS:
                    log.warning("a frame was refused: %s", error)
                self._refuse(connection, error)
                continue
            done = connection.take_room(len(payload))
            if not self._take(connection, frame, done):
                done()

    def _refuse(self, connection: Connection, error: wire.WireError) -> None:
        """Answers a frame that cannot be read. A document that it may have changed is closed.

        The next frame for that document is answered `unknown_document`, so the client opens it again.
        """
        if error.code == "malformed_frame":
            self.worker.forget_documents(connection)
        elif error.op in ("Open", "Edit") and error.document:
            self.worker.submit(connection, wire.Close(error.document))
        connection.send(wire.Failure(error.request_id, error.code, str(error), error.document))

    def _take(self, connection: Connection, frame: wire.Frame, done: Callable[[], None]) -> bool:
        """Passes a frame on; whether it went to the worker, which then calls `done`."""
        if self._is_remote and isinstance(frame, wire.Quit | wire.FilesChanged):
            reason = "remote clients may not send FilesChanged or Quit"
            connection.send(wire.Failure(None, "forbidden_remotely", reason))
        elif self._is_remote and isinstance(frame, wire.Open):
            self.worker.submit(connection, without_files(frame), done)
            return True
        elif isinstance(frame, wire.Quit):
            log.info("received Quit")
            self.stop.set()
        elif isinstance(
            frame,
            wire.Open | wire.Edit | wire.Close | wire.MoveCursor | wire.FilesChanged
            | wire.Complete | wire.Cancel | wire.AskContext | wire.AskStatus,
        ):  # fmt: skip
            self.worker.submit(connection, frame, done)
            return True
        else:
            name = type(frame).__name__
            connection.send(wire.Failure(None, "unexpected_frame", f"{name} is not expected"))
        return False

    async def wait_until_idle(self) -> None:
        """Returns when no client has been connected for the idle time, or after the last client if the model failed.

        Only a new engine tries to load a model again.
        """
        limit = self._options.idle_exit_minutes * 60
        while self._connections or time.monotonic() - self._idle_since < limit:
            await asyncio.sleep(min(1.0, max(0.05, limit / 4)))
            if not self._connections and isinstance(self.worker.model.state(), wire.Failure):
                return


def without_files(frame: wire.Open) -> wire.Open:
    """A document of a remote client: its root would be a folder of this machine, so no files are read for it.

    Its globs still decide which other documents may appear in its completions.
    """
    return attrs.evolve(frame, root="", path="")


async def run(options: argparse.Namespace, listener: Listener | None = None) -> int:
    """Serves until it is idle or stopped; returns the exit status. Without a listener the options name the address."""
    token = listener.token if listener else secrets.token_hex(16) if options.port_file else ""
    service = Service(options, token, is_remote=listener is not None)
    # Windows has no such handlers; there a Quit ends the engine
    with contextlib.suppress(NotImplementedError):
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, service.stop.set)
    if listener is not None:
        acceptor = Acceptor(listener.sockets, service.serve, listener.tls)
    else:
        bound = await (
            bind_port(options.port_file, token)
            if options.port_file
            else bind_socket(options.socket)
        )
        acceptor = Acceptor([one.dup() for one in bound.sockets], service.serve)
        bound.close()
    acceptor.start()
    path: Path | None = options.socket or options.port_file
    mark = FileMark(path) if path else None
    log.info("listening%s, pid %d", f" on {listener}" if listener else "", os.getpid())
    if listener is not None:
        log.info("the token for clients is in %s", listener.token_place)
    try:
        idle = asyncio.ensure_future(service.wait_until_idle())
        stopped = asyncio.ensure_future(service.stop.wait())
        await asyncio.wait((idle, stopped), return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        stopped.cancel()
    finally:
        acceptor.close()
        if mark:
            mark.remove()
        if not service.worker.close():
            # the model is still loading; an interpreter that ends while a thread runs in torch aborts
            logging.shutdown()
            os._exit(FAILED_STATUS if service.failure else 0)
    return FAILED_STATUS if service.failure else 0


@ends_with_reader
def main() -> None:
    clean_own_environment()
    options, listener = parse()
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if options.log:
        # an engine without a log serves as well
        with contextlib.suppress(OSError):
            handler = RotatingFileHandler(options.log, maxBytes=LOG_BYTES, backupCount=N_LOGS)
    logging.basicConfig(
        level=logging.INFO,
        handlers=[handler],
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    import torch

    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(options.threads or max(1, (n_cores or 1) - 1))
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)
    sys.exit(asyncio.run(run(options, listener)))


if __name__ == "__main__":
    main()
