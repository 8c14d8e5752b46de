"""The engine process: frames from a socket to the worker, and back.

`python -m warmline_engine.service --socket PATH --model NAME` listens on a Unix socket that only its user
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
import time
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from warmline_engine.pipes import ends_with_reader

from . import wire
from .listening import Listener, Serve, make_listener
from .remote import TOKEN_VARIABLE, RemoteError, token_path

if TYPE_CHECKING:  # torch is loaded once the process listens
    from .loaded_model import LoadedModel
    from .pair import Pair

log = logging.getLogger("warmline_engine")

VERSION = "0.1.0"
HELLO_WITHIN_S = 5.0
LOG_BYTES, N_LOGS = 2 * 2**20, 2


class Connection:
    """A client's end: frames may be sent from any thread."""

    def __init__(self, writer: asyncio.StreamWriter, loop: asyncio.AbstractEventLoop) -> None:
        self._writer = writer
        self._loop = loop

    def send(self, frame: wire.ToServer) -> None:
        """Queues a frame; one for a connection that is gone is dropped."""
        payload = wire.pack(frame)
        # the loop is closed when the process ends while the worker still talks
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._write, payload)

    def _write(self, payload: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(payload)


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
        from .worker import Worker

        self.worker = Worker(
            functools.partial(_load, options),
            options.context_tokens,
            self._broadcast,
            measures_threads=not options.threads,
        )
        self.worker.start()

    def _broadcast(self, frame: wire.ToServer) -> None:
        for connection in list(self._connections):
            connection.send(frame)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talks to one client until it leaves or breaks the rules."""
        connection = Connection(writer, self._loop)
        try:
            _check_peer(writer)
            async with asyncio.timeout(HELLO_WITHIN_S):
                self._check_hello(await wire.read(reader, wire.MAX_HELLO_BYTES))
            connection.send(wire.Welcome(wire.PROTOCOL_VERSION, VERSION, os.getpid()))
            self._connections.add(connection)
            known = self.worker.welcome()
            if known is not None:
                connection.send(known)
            await self._read_on(reader, connection)
        except wire.WireError as error:
            connection.send(wire.Failure(None, error.code, str(error)))
            await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, OSError):  # of TLS and time too
            pass
        finally:
            self._connections.discard(connection)
            self.worker.leave(connection)
            self._idle_since = time.monotonic()
            with contextlib.suppress(OSError):
                await writer.drain()
            writer.close()

    async def _read_on(self, reader: asyncio.StreamReader, connection: Connection) -> None:
        while True:
            try:
                frame = await wire.read(reader)
            except wire.WireError as error:
                if error.code == "frame_too_long":
                    raise  # where the next frame begins is not known
                log.warning("a frame was refused: %s", error)
                connection.send(wire.Failure(None, error.code, str(error)))
                continue
            self._take(connection, frame)

    def _take(self, connection: Connection, frame: wire.Frame) -> None:
        if self._is_remote and isinstance(frame, wire.Quit | wire.FilesChanged):
            reason = "an engine that serves other machines reads no files, and is ended on its own"
            connection.send(wire.Failure(None, "not_from_afar", reason))
        elif self._is_remote and isinstance(frame, wire.Open):
            # a root would be one of this machine
            own = attrs.evolve(frame, root="", path="", excluded=())
            self.worker.submit(connection, own)
        elif isinstance(
            frame,
            wire.Open | wire.Edit | wire.Close | wire.MoveCursor | wire.FilesChanged
            | wire.Complete | wire.Cancel | wire.AskContext | wire.AskStatus,
        ):  # fmt: skip
            self.worker.submit(connection, frame)
        elif isinstance(frame, wire.Quit):
            log.info("told to quit")
            self.stop.set()
        else:
            name = type(frame).__name__
            connection.send(wire.Failure(None, "unexpected_frame", f"{name} is not expected"))

    def _check_hello(self, frame: wire.Frame) -> None:
        if not isinstance(frame, wire.Hello):
            raise wire.WireError("no_hello", f"{type(frame).__name__} came before Hello")
        if not hmac.compare_digest(frame.token.encode(), self._token.encode()):
            raise wire.WireError("wrong_token", "the token is not the one of this engine")
        if frame.version != wire.PROTOCOL_VERSION:
            raise wire.WireError(
                "wrong_version",
                f"protocol {frame.version}; this engine speaks {wire.PROTOCOL_VERSION}",
            )
        log.info("connected: %s", frame.client)

    async def wait_until_idle(self) -> None:
        """Returns when no client has been connected for the idle time; at once where the model failed.

        A model that could not be loaded is tried again by the next engine only.
        """
        limit = self._options.idle_exit_minutes * 60
        while self._connections or time.monotonic() - self._idle_since < limit:
            await asyncio.sleep(min(1.0, max(0.05, limit / 4)))
            if not self._connections and isinstance(self.worker.welcome(), wire.Failure):
                return


def _check_peer(writer: asyncio.StreamWriter) -> None:
    """On Linux, that the other end of a Unix socket is our own user."""
    peer: socket.socket = writer.get_extra_info("socket")
    if peer.family != getattr(socket, "AF_UNIX", None) or not hasattr(socket, "SO_PEERCRED"):
        return
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    if uid != os.getuid():
        raise wire.WireError("wrong_user", "the engine serves the user who started it")


async def run(options: argparse.Namespace, listener: Listener | None = None) -> None:
    """Serves until idle or told to stop: at a listener's address, else where the options say."""
    token = listener.token if listener else secrets.token_hex(16) if options.port_file else ""
    service = Service(options, token, is_remote=listener is not None)
    # Windows has no such handlers; there a Quit ends the engine
    with contextlib.suppress(NotImplementedError):
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, service.stop.set)
    if listener is not None:
        servers = await listener.listen(service.serve)
    else:
        servers = [await _meet(options, service.serve, token)]
    path: Path | None = options.socket or options.port_file
    ours = _identity(path) if path else None
    log.info("listening%s, pid %d", f" on {listener}" if listener else "", os.getpid())
    if listener is not None:
        log.info("the token that a server has to know is in %s", listener.token_place)
    try:
        idle = asyncio.ensure_future(service.wait_until_idle())
        stopped = asyncio.ensure_future(service.stop.wait())
        await asyncio.wait((idle, stopped), return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        stopped.cancel()
    finally:
        for server in servers:
            server.close()
        # the next engine may have taken the place already
        if path and _identity(path) == ours:
            path.unlink(missing_ok=True)
        if not service.worker.close():
            # a model that is still being loaded: an interpreter that ends under a thread in torch aborts
            logging.shutdown()
            os._exit(0)


async def _meet(options: argparse.Namespace, serve: Serve, token: str) -> asyncio.Server:
    """Listens where this machine's servers look for their engine."""
    limit = wire.MAX_FRAME_BYTES + 4096
    if options.port_file:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=limit)
        port = server.sockets[0].getsockname()[1]
        _write_private(options.port_file, json.dumps({"port": port, "token": token}))
        return server
    old_mask = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(serve, options.socket, limit=limit)
    finally:
        os.umask(old_mask)


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


def _load(
    options: argparse.Namespace, progress: Callable[[str, float], None]
) -> LoadedModel | Pair:
    """The model that the options name, or the pair.

    Raises: ModelError, with what to do.
    """
    from .decoding.switching import SwitchRule
    from .decoding.threshold import Threshold
    from .loaded_model import load
    from .pair import Patience, paired

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
        Patience(options.switch_within_ms) if options.switching == "deadline" else None,
    )


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="warmline engine", description="Serves one model.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=Path, help="Unix socket to listen on")
    where.add_argument(
        "--port-file", type=Path, help="listen on loopback; write port and token here"
    )
    where.add_argument(
        "--listen", metavar="HOST:PORT",
        help="serve other machines: on loopback through ssh -L, elsewhere with a certificate",
    )  # fmt: skip
    parser.add_argument(
        "--cert", type=Path, metavar="FILE", help="of --listen: its certificate (PEM), for TLS"
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the certificate's key, if it is in another file"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE",
        help=f"of --listen: what a server has to know, unless {TOKEN_VARIABLE} says it; made where it is not "
        f"there ({token_path()})",
    )  # fmt: skip
    parser.add_argument("--model", default="base", help="embedded name, folder or Hugging Face id")
    parser.add_argument(
        "--small-model", default="", help="one of the same family that works with it"
    )
    parser.add_argument(
        "--switching", default="off", choices=("off", "entropy", "deadline"),
        help="when the small model answers; off: it drafts",
    )  # fmt: skip
    parser.add_argument("--switch-above", type=float, default=1.0, metavar="BITS")
    parser.add_argument(
        "--switch-goal", default="none", choices=("none", "share", "time"),
        help="what the threshold is fitted to as the pair serves",
    )  # fmt: skip
    parser.add_argument("--switch-share", type=float, default=0.5, help="of tokens, by the model")
    parser.add_argument("--switch-window", type=int, default=5, metavar="TOKENS")
    parser.add_argument("--switch-dwell", type=int, default=10, metavar="TOKENS")
    parser.add_argument("--switch-within-ms", type=float, default=150.0)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "float32", "bfloat16", "int8", "int4")
    )
    parser.add_argument(
        "--low-memory", action="store_true", help="keep weights in one number format only"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        help="0: all cores but one, or fewer to decode",
    )
    parser.add_argument("--context-tokens", type=int, default=8192)
    parser.add_argument("--cache-mebibytes", type=int, default=1024, help="memory for caches")
    parser.add_argument(
        "--idle-exit-minutes",
        type=float,
        help="end when unused for so long (15; with --listen never)",
    )
    parser.add_argument("--log", type=Path, help="rotated log file; standard error without")
    return parser


@ends_with_reader
def main() -> None:
    parser = make_parser()
    options = parser.parse_args()
    listener = _listener(parser, options)
    if options.idle_exit_minutes is None:
        options.idle_exit_minutes = math.inf if listener else 15.0
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if options.log:
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
    asyncio.run(run(options, listener))


def _listener(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Listener | None:
    """What --listen asks for; a mistake ends the process with a word on it."""
    if options.listen is None:
        if options.cert or options.key or options.token_file:
            parser.error("--cert, --key and --token-file go with --listen")
        return None
    try:
        return make_listener(options.listen, options.cert, options.key, options.token_file)
    except RemoteError as error:
        parser.error(f"--listen: {error}")


if __name__ == "__main__":
    main()
