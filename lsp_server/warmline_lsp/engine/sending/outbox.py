"""Frames on their way to the engine: a bounded queue that notices an engine that does not read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum, auto

from warmline_protocol import wire

log = logging.getLogger(__name__)

MAX_QUEUED_BYTES = 16 * 2**20  # that the engine has not read


class Sent(Enum):
    """What became of a frame."""

    YES = auto()
    UNAVAILABLE = auto()  # the engine is away or does not read
    TOO_LARGE = auto()  # a peer would refuse it


class Outbox:
    """Writes to one connection at a time."""

    def __init__(self, on_behind: Callable[[asyncio.StreamWriter], None]) -> None:
        """`on_behind` is called once when too much is queued; nothing is sent until `resume`."""
        self._on_behind = on_behind
        self._writer: asyncio.StreamWriter | None = None
        self.is_behind = False

    @property
    def is_connected(self) -> bool:
        return self._writer is not None

    @property
    def n_queued_bytes(self) -> int:
        """Bytes that the engine has not read."""
        return self._writer.transport.get_write_buffer_size() if self._writer else 0

    def connect(self, writer: asyncio.StreamWriter) -> None:
        self._writer, self.is_behind = writer, False

    def disconnect(self) -> None:
        self._writer, self.is_behind = None, False

    def is_at(self, writer: asyncio.StreamWriter) -> bool:
        """Whether this is still the connection."""
        return self._writer is writer

    def resume(self) -> None:
        """Notes that the engine has read all that was queued."""
        self.is_behind = False

    def write(self, frame: wire.ToEngine) -> Sent:
        writer = self._writer
        if writer is None or self.is_behind:
            return Sent.UNAVAILABLE
        try:
            writer.write(wire.pack(frame))
        except wire.WireError as error:
            log.warning("%s is not sent: %s", type(frame).__name__, error)
            return Sent.TOO_LARGE
        if self.n_queued_bytes > MAX_QUEUED_BYTES:
            log.warning("the engine does not read its messages")
            self.is_behind = True
            self._on_behind(writer)
        return Sent.YES
