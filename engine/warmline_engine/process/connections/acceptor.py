"""Accepts connections, and bounds what peers that have not shown their token can make the engine do.

At most MAX_UNGREETED of them are served at a time: one more ends the oldest. Each that fails is paid for out of a
budget; where that is spent, new connections wait in the system's queue, so a flood of them costs a fixed share of the
process. Connections that were greeted are not affected.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable

log = logging.getLogger(__name__)

MAX_UNGREETED = 16
FREE_FAILURES, FAILURES_PER_S = 64, 16.0
HANDSHAKE_WITHIN_S = 5.0  # of TLS
ACCEPT_AGAIN_S = 0.5  # after an error, such as too many open files
BACKLOG = 100
# bytes; the reader's own buffer, of a peer that sends faster than it is read: a frame may be longer
READ_AHEAD_BYTES = 1 << 16

# the third argument is to be called once the peer has shown its token
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Callable[[], None]], Awaitable[None]]


class FailureBudget:
    """So many failures at once, and so many a second in the long run."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._left, self._at = float(FREE_FAILURES), now()

    def note(self) -> None:
        """A connection ended without having shown its token."""
        self._refill()
        self._left -= 1.0

    def delay_s(self) -> float:
        """How long the next connection has to wait."""
        self._refill()
        return max(0.0, (1.0 - self._left) / FAILURES_PER_S)

    def _refill(self) -> None:
        now = self._now()
        self._left = min(float(FREE_FAILURES), self._left + (now - self._at) * FAILURES_PER_S)
        self._at = now


class Acceptor:
    """Serves the connections of sockets that are bound. It owns the sockets."""

    def __init__(
        self,
        sockets: Iterable[socket.socket],
        serve: Serve,
        tls: ssl.SSLContext | None = None,
        budget: FailureBudget | None = None,
    ) -> None:
        self._sockets = tuple(sockets)
        self._serve, self._tls = serve, tls
        self._budget = budget or FailureBudget()
        self._ungreeted: dict[asyncio.Task[None], None] = {}  # the oldest first
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self) -> None:
        """Listens; to be called from the loop."""
        for listening in self._sockets:
            listening.setblocking(False)
            listening.listen(BACKLOG)
            self._run(self._accept(listening))

    def close(self) -> None:
        """Accepts no more connections; open ones continue."""
        self._closed = True
        for listening in self._sockets:
            with contextlib.suppress(OSError, ValueError):
                asyncio.get_running_loop().remove_reader(listening)
            listening.close()

    def _run(self, work: Awaitable[None]) -> asyncio.Task[None]:
        async def run() -> None:
            await work

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while not self._closed:
            await asyncio.sleep(self._budget.delay_s())
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:
                if not self._closed:
                    log.warning("a connection was not accepted: %s", error.strerror)
                    await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            while len(self._ungreeted) >= MAX_UNGREETED:
                oldest = next(iter(self._ungreeted))
                self._leave(oldest)
                oldest.cancel()
            self._ungreeted[self._run(self._serve_one(accepted))] = None

    def _leave(self, task: asyncio.Task[None]) -> None:
        """A connection ends; one that was not greeted is paid for, once."""
        if task in self._ungreeted:
            del self._ungreeted[task]
            self._budget.note()

    async def _serve_one(self, accepted: socket.socket) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        reader = asyncio.StreamReader(limit=READ_AHEAD_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport: asyncio.Transport | None = None
        try:
            within_s = HANDSHAKE_WITHIN_S if self._tls else None
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, accepted, ssl=self._tls, ssl_handshake_timeout=within_s
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            await self._serve(reader, writer, lambda: self._ungreeted.pop(task, None))
        except OSError:  # of TLS too
            pass
        except Exception:  # one peer must not end the others
            log.exception("serving a connection failed")
        finally:
            self._leave(task)
            if transport is None:
                accepted.close()
            else:
                transport.close()
