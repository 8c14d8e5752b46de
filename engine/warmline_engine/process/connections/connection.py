"""A client's connection, with limits on the frames that wait in it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable

from warmline_protocol import wire

log = logging.getLogger(__name__)

MAX_WAITING, MAX_WAITING_BYTES = 256, 2 * wire.MAX_FRAME_BYTES  # frames that wait for the worker
MAX_UNSENT_NOTICE_BYTES = 2**18  # with so much unsent, notices are dropped
MAX_UNSENT_BYTES = 2 * wire.MAX_FRAME_BYTES  # with more, the client is cut off
FLUSH_WITHIN_S = 1.0


class Connection:
    """Frames may be sent from any thread.

    A client that does not read gets no notices, and none of its frames are read; one that lets MAX_UNSENT_BYTES pile
    up is cut off. Frames that the worker has not taken yet are bounded in number and bytes.
    """

    def __init__(self, writer: asyncio.StreamWriter, loop: asyncio.AbstractEventLoop) -> None:
        self._writer = writer
        self._loop = loop
        self._lock = threading.Lock()
        self._n_queued = 0  # bytes on their way to the loop
        self._n_waiting, self._n_waiting_bytes = 0, 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    def send(self, frame: wire.ToServer) -> None:
        """Queues a frame; one for a connection that is gone is dropped."""
        try:
            payload = wire.pack(frame)
        except wire.WireError as error:
            log.warning("%s is not sent: %s", type(frame).__name__, error)
            payload = wire.pack(wire.Failure(wire.request_id_of(frame), error.code, str(error)))
        with self._lock:
            is_too_much = self._n_queued + len(payload) > MAX_UNSENT_BYTES
            self._n_queued += 0 if is_too_much else len(payload)
        is_notice = isinstance(frame, wire.Progress | wire.Encoded)
        # the loop is closed when the process ends while the worker still sends
        with contextlib.suppress(RuntimeError):
            if is_too_much:
                self._loop.call_soon_threadsafe(self._cut_off)
            else:
                self._loop.call_soon_threadsafe(self._write, payload, is_notice)

    def _write(self, payload: bytes, is_notice: bool) -> None:
        with self._lock:
            self._n_queued -= len(payload)
        if self._writer.is_closing():
            return
        n_unsent = self._writer.transport.get_write_buffer_size()
        if is_notice and n_unsent > MAX_UNSENT_NOTICE_BYTES:
            return
        if n_unsent + len(payload) > MAX_UNSENT_BYTES:
            self._cut_off()
            return
        self._writer.write(payload)

    def _cut_off(self) -> None:
        if not self._writer.is_closing():
            log.warning("a client that does not read is cut off")
            self._writer.transport.abort()

    async def has_room(self) -> None:
        """Returns when the client has read its frames and the worker has taken the client's.

        Raises: OSError, if the connection is closed.
        """
        await self._writer.drain()
        await self._has_room.wait()

    def take_room(self, n_bytes: int) -> Callable[[], None]:
        """Notes a frame that waits for the worker; the result is called, from any thread, once it no longer does."""
        self._change_room(1, n_bytes)

        def give_back() -> None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._change_room, -1, -n_bytes)

        return give_back

    def _change_room(self, n_frames: int, n_bytes: int) -> None:
        self._n_waiting += n_frames
        self._n_waiting_bytes += n_bytes
        if self._n_waiting < MAX_WAITING and self._n_waiting_bytes < MAX_WAITING_BYTES:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def close(self) -> None:
        """Sends what is left, for a moment, and closes."""
        await asyncio.sleep(0)  # what was sent just now is on its way to the loop
        # drain returns early: it waits for room in the buffer, not for the buffer to be empty
        self._writer.transport.set_write_buffer_limits(0)
        with contextlib.suppress(OSError):
            async with asyncio.timeout(FLUSH_WITHIN_S):
                await self._writer.drain()
        if self._writer.transport.get_write_buffer_size():
            self._writer.transport.abort()
        self._writer.close()
