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
import hmac
import json
import logging
import math
import os
import secrets
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from warmline_engine.panics import describe
from warmline_protocol import wire
from warmline_protocol.broken_pipe import ends_with_reader
from warmline_protocol.engine_options import EngineOptions, add_arguments
from warmline_protocol.folders import clean_own_environment
from warmline_protocol.remote_address import TOKEN_VARIABLE, RemoteError, token_path

from .acceptor import Acceptor
from .connection import Connection
from .listener import Listener, make_listener

if TYPE_CHECKING:  # torch is loaded once the process listens
    from warmline_engine.session.loaded_model import LoadedModel
    from warmline_engine.session.model_pair import Pair

log = logging.getLogger("warmline_engine")

VERSION = "0.2.0"
HELLO_WITHIN_S = 5.0
LOG_BYTES, N_LOGS = 2 * 2**20, 2
MAX_CONNECTIONS = 64  # of clients that have shown their token
MAX_LOGGED_REFUSALS = 10  # of one connection
FAILED_STATUS = 70  # of a process whose worker died


class Service:
    """Accepts connections, checks who they are, and passes frames on."""

    def __init__(self, options: argparse.Namespace, token: str, is_remote: bool = False) -> None:
        """`is_remote`: its clients may be on other machines."""
        self._options = options
        self._token = token
        self._is_remote = is_remote
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._idle_since = time.monotonic()
        self.stop = asyncio.Event()
        self.failure = ""  # why the process cannot go on
        from .worker import Worker

        self.worker = Worker(
            functools.partial(_load, EngineOptions.from_arguments(options)),
            options.context_tokens,
            self._broadcast,
            measures_threads=not options.threads,
            on_death=self.fail,
        )
        threading.excepthook = self._on_thread_death
        self.worker.start()

    def fail(self, reason: str) -> None:
        """Ends the process with a reason, from any thread: without the worker it would answer nothing."""
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
        """Talks to one client until it leaves or breaks the rules; `greeted` is called once it showed its token."""
        connection = Connection(writer, self._loop)
        try:
            _check_peer(writer)
            async with asyncio.timeout(HELLO_WITHIN_S):
                payload = await wire.read_payload(reader, wire.MAX_HELLO_BYTES)
            self._check_hello(wire.unpack_hello(payload))
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
        """Answers a frame that cannot be taken. A text that it may have changed is not known any more.

        Its next frame is answered `unknown_document`, so the client opens it anew.
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
            # a root would be one of this machine
            own = attrs.evolve(frame, root="", path="", excluded=())
            self.worker.submit(connection, own, done)
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

    def _check_hello(self, hello: wire.Hello) -> None:
        if not hmac.compare_digest(hello.token.encode(), self._token.encode()):
            raise wire.WireError("wrong_token", "wrong token for this engine")
        if hello.version != wire.PROTOCOL_VERSION:
            raise wire.WireError(
                "wrong_version",
                f"protocol version {hello.version}; this engine uses {wire.PROTOCOL_VERSION}",
            )
        if len(self._connections) >= MAX_CONNECTIONS:
            raise wire.WireError(
                "too_many_clients", f"this engine serves at most {MAX_CONNECTIONS} clients"
            )
        log.info("connected: %.100s", ascii(hello.client))

    async def wait_until_idle(self) -> None:
        """Returns when no client has been connected for the idle time; at once where the model failed.

        A model that could not be loaded is tried again by the next engine only.
        """
        limit = self._options.idle_exit_minutes * 60
        while self._connections or time.monotonic() - self._idle_since < limit:
            await asyncio.sleep(min(1.0, max(0.05, limit / 4)))
            if not self._connections and isinstance(self.worker.model.state(), wire.Failure):
                return


def _check_peer(writer: asyncio.StreamWriter) -> None:
    """On Linux, that the other end of a Unix socket is our own user."""
    peer: socket.socket = writer.get_extra_info("socket")
    if peer.family != getattr(socket, "AF_UNIX", None) or not hasattr(socket, "SO_PEERCRED"):
        return
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    if uid != os.getuid():
        raise wire.WireError("wrong_user", "this engine only serves the user who started it")


async def run(options: argparse.Namespace, listener: Listener | None = None) -> int:
    """Serves until idle or told to stop: at a listener's address, else where the options say. The exit status."""
    token = listener.token if listener else secrets.token_hex(16) if options.port_file else ""
    service = Service(options, token, is_remote=listener is not None)
    # Windows has no such handlers; there a Quit ends the engine
    with contextlib.suppress(NotImplementedError):
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, service.stop.set)
    if listener is not None:
        acceptor = Acceptor(listener.sockets, service.serve, listener.tls)
    else:
        bound = await _meet(options, token)
        acceptor = Acceptor([one.dup() for one in bound.sockets], service.serve)
        bound.close()
    acceptor.start()
    path: Path | None = options.socket or options.port_file
    ours = _identity(path) if path else None
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
        # the next engine may have taken the place already
        if path and _identity(path) == ours:
            path.unlink(missing_ok=True)
        if not service.worker.close():
            # a model that is still being loaded: an interpreter that ends under a thread in torch aborts
            logging.shutdown()
            os._exit(FAILED_STATUS if service.failure else 0)
    return FAILED_STATUS if service.failure else 0


async def _meet(options: argparse.Namespace, token: str) -> asyncio.Server:
    """Binds where this machine's servers look for their engine; the sockets do not listen yet."""
    if options.port_file:
        server = await asyncio.start_server(_no_one, "127.0.0.1", 0, start_serving=False)
        port = server.sockets[0].getsockname()[1]
        _write_private(options.port_file, json.dumps({"port": port, "token": token}))
        return server
    listening = _bound_privately(options.socket)
    try:
        return await asyncio.start_unix_server(_no_one, sock=listening, start_serving=False)
    except BaseException:
        listening.close()
        raise


def _bound_privately(path: Path) -> socket.socket:
    """A socket at a path that only this user may connect to, at no moment anybody else.

    It is bound in a private folder and moved: the umask belongs to the whole process.
    """
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = path.parent / f".{secrets.token_hex(4)}"
    try:
        folder.mkdir(mode=0o700)
        os.chmod(folder, 0o700)  # whatever the umask has left
        try:
            bound.bind(os.fspath(folder / "s"))
            (folder / "s").chmod(0o600)
            (folder / "s").replace(path)
        finally:
            (folder / "s").unlink(missing_ok=True)
            folder.rmdir()
    except BaseException:
        bound.close()
        raise
    return bound


async def _no_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serves nothing: the acceptor takes the connections."""


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another that has its name."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_mtime_ns
    return None


def _write_private(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


def _load(options: EngineOptions, progress: Callable[[str, float], None]) -> LoadedModel | Pair:
    """The model that the options name, or the pair.

    Raises: ModelError, with what to do.
    """
    from warmline_engine.decoding.two_models.switching import SwitchRule
    from warmline_engine.decoding.two_models.threshold import Threshold
    from warmline_engine.session.loaded_model import load
    from warmline_engine.session.model_pair import LatencyBudget, paired

    base, *small = (
        load(
            name,
            options.device,
            options.dtype,
            options.cache_mebibytes,
            progress,
            options.low_memory,
        ).with_chunk_files(f"{options.dtype}-alone" if options.low_memory else options.dtype)
        for name in (options.model, options.small_model)
        if name
    )
    if not small:
        return base
    rule = SwitchRule(options.switch_above, options.switch_window, options.switch_dwell)
    threshold = Threshold(
        rule,
        options.switch_share if options.switch_goal == "share" else None,
        options.switch_within_ms if options.switch_goal == "time" else None,
    )
    return paired(
        base,
        small[0],
        threshold if options.switching == "entropy" else None,
        LatencyBudget(options.switch_within_ms) if options.switching == "deadline" else None,
    )


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="warmline engine", description="Runs an engine, which serves one model."
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=Path, metavar="PATH", help="listen on this Unix socket")
    where.add_argument(
        "--port-file",
        type=Path,
        metavar="FILE",
        help="listen on a loopback port; write port and token to FILE",
    )
    where.add_argument(
        "--listen", metavar="HOST:PORT",
        help="serve other machines: through ssh -L on a loopback address, with --cert on any other",
    )  # fmt: skip
    parser.add_argument(
        "--cert", type=Path, metavar="FILE", help="with --listen: the TLS certificate (PEM)"
    )
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="with --cert: its private key, if it is not in the same file",
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE",
        help=f"with --listen: the file with the token that clients must send. It is created if it is missing. The "
        f"environment variable {TOKEN_VARIABLE} takes precedence (default: {_token_place()})",
    )  # fmt: skip
    add_arguments(parser)
    # its default depends on --listen
    parser.set_defaults(idle_exit_minutes=None)
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="write a rotated log to FILE (default: standard error)",
    )
    return parser


@ends_with_reader
def main() -> None:
    clean_own_environment()
    parser = make_parser()
    options = parser.parse_args()
    listener = _listener(parser, options)
    if options.idle_exit_minutes is None:
        options.idle_exit_minutes = math.inf if listener else EngineOptions().idle_exit_minutes
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


def _token_place() -> str:
    try:
        return str(token_path())
    except RemoteError:
        return "no usable folder"


def _listener(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Listener | None:
    """The listener for --listen. An error ends the process with a message."""
    if options.listen is None:
        if options.cert or options.key or options.token_file:
            parser.error("--cert, --key and --token-file need --listen")
        return None
    try:
        return make_listener(options.listen, options.cert, options.key, options.token_file)
    except RemoteError as error:
        parser.error(f"--listen: {error}")


if __name__ == "__main__":
    main()
