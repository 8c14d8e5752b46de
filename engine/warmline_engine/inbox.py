"""What connections put down for the worker: texts in order, completions, and which of those are not wanted any more."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from . import wire
from .librarian import DocumentKey
from .retrieval.rank import Found


class Client(Protocol):
    """A connection, as the worker sees it."""

    def send(self, frame: wire.ToServer) -> None: ...


@dataclass(frozen=True, eq=False)
class Waiting:
    """A completion that somebody waits for, since `arrived`."""

    client: Client
    frame: wire.Complete
    arrived: float


@dataclass(frozen=True, eq=False)
class Text:
    """A frame that is taken in order; None says that the client is gone."""

    client: Client
    frame: wire.ToEngine | None


@dataclass(frozen=True, eq=False)
class Finds:
    """What the librarian found in other files for a document, by its key."""

    key: DocumentKey
    found: list[Found]


class Inbox:
    """Filled by the event loop, emptied by the worker. One lock guards all of it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._texts: deque[Text] = deque()
        self._completions: deque[Waiting] = deque()
        self._finds: dict[DocumentKey, Finds] = {}
        self._current: Waiting | None = None
        self._cancelled: set[Waiting] = set()
        self.is_closing = False

    def submit(self, client: Client, frame: wire.ToEngine) -> None:
        """Takes a frame of a connection."""
        with self._changed:
            if isinstance(frame, wire.Complete):
                self._completions.append(Waiting(client, frame, time.monotonic()))
            elif isinstance(frame, wire.Cancel):
                self._cancelled |= {
                    w for w in self._unanswered() if w.client is client and w.frame.id == frame.id
                }
            else:
                self._texts.append(Text(client, frame))
                if isinstance(frame, wire.Edit | wire.Close | wire.Open):
                    self._cancel_current(client, frame.document)
            self._changed.notify()

    def found(self, key: DocumentKey, found: list[Found]) -> None:
        """Takes finds, in place of older ones."""
        with self._changed:
            self._finds[key] = Finds(key, found)
            self._changed.notify()

    def finds_for(self, key: DocumentKey) -> Finds | None:
        """Finds that were not taken yet."""
        with self._changed:
            return self._finds.pop(key, None)

    def leave(self, client: Client) -> None:
        """Forgets what a connection that is gone has asked for, and says that it is gone."""
        with self._changed:
            self._texts.append(Text(client, None))
            gone = {w for w in self._completions if w.client is client}
            self._completions = deque(w for w in self._completions if w not in gone)
            self._cancelled -= gone
            if self._current is not None and self._current.client is client:
                self._cancelled.add(self._current)
            self._changed.notify()

    def close(self) -> None:
        """Wakes the worker up to end."""
        with self._changed:
            self.is_closing = True
            self._changed.notify()

    def take(self) -> Text | Waiting | Finds | None:
        """The next text; then the next completion, which is being answered until it is `answered`; then finds."""
        with self._changed:
            if self._texts:
                return self._texts.popleft()
            if self._completions:
                self._current = self._completions.popleft()
                return self._current
            if self._finds:
                return self._finds.pop(next(iter(self._finds)))
            return None

    def answered(self, waiting: Waiting) -> None:
        """A completion is done."""
        with self._changed:
            self._current = None
            self._cancelled.discard(waiting)

    def is_cancelled(self, waiting: Waiting) -> bool:
        return waiting in self._cancelled

    def wait(self, timeout_s: float | None) -> None:
        """Until something is put down, or for so long."""
        with self._changed:
            if not (self._texts or self._completions or self._finds or self.is_closing):
                self._changed.wait(timeout_s)

    def _unanswered(self) -> list[Waiting]:
        return [*self._completions, *([self._current] if self._current else [])]

    def _cancel_current(self, client: Client, document: str) -> None:
        """A text that changes makes the answer being made for it worthless."""
        current = self._current
        if current and current.client is client and current.frame.document == document:
            self._cancelled.add(current)
