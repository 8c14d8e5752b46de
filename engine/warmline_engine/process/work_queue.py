"""The worker's queue: text changes in order, completions, and cancellations.

Clients take turns, so one that sends a flood delays another by one piece of work at most for each of its own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from warmline_engine.retrieval.rank import Found
from warmline_engine.retrieval.workspace_indexer import DocumentKey
from warmline_protocol import wire

T = TypeVar("T")

MAX_TEXTS_IN_A_ROW = 16  # while a completion of another client waits


class Client(Protocol):
    """A connection, as the worker sees it."""

    def send(self, frame: wire.ToServer) -> None: ...


@dataclass(frozen=True, eq=False)
class CompletionJob:
    """A completion that somebody waits for, since `arrived`."""

    client: Client
    frame: wire.Complete
    arrived: float
    on_done: Callable[[], None] = lambda: None


@dataclass(frozen=True, eq=False)
class DocumentFrame:
    """A frame that is taken in order; None says that the client is gone."""

    client: Client
    frame: wire.ToEngine | None
    on_done: Callable[[], None] = lambda: None


@dataclass(frozen=True, eq=False)
class RetrievalResult:
    """The pieces of other files that the indexer found for a document, with its key."""

    key: DocumentKey
    found: list[Found]


class Inbox:
    """Filled by the event loop, emptied by the worker. One lock guards all of it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # of each client, by its identity; whose turn it is comes first
        self._texts: OrderedDict[int, deque[DocumentFrame]] = OrderedDict()
        self._completions: OrderedDict[int, deque[CompletionJob]] = OrderedDict()
        self._n_texts_in_a_row = 0
        self._finds: dict[DocumentKey, RetrievalResult] = {}
        self._current: CompletionJob | None = None
        self._cancelled: set[CompletionJob] = set()
        self.is_closing = False

    def submit(
        self, client: Client, frame: wire.ToEngine, on_done: Callable[[], None] = lambda: None
    ) -> None:
        """Takes a frame of a connection; `on_done` is called, from any thread, when it takes no more room here."""
        with self._changed:
            if isinstance(frame, wire.Complete):
                waiting = CompletionJob(client, frame, time.monotonic(), on_done)
                self._completions.setdefault(id(client), deque()).append(waiting)
            elif isinstance(frame, wire.Cancel):
                self._cancelled |= {
                    w for w in self._unanswered() if w.client is client and w.frame.id == frame.id
                }
                on_done()
            else:
                self._put(DocumentFrame(client, frame, on_done))
                if isinstance(frame, wire.Edit | wire.Close | wire.Open):
                    self._cancel_current(client, frame.document)
            self._changed.notify()

    def forget_documents(self, client: Client) -> None:
        """Has all documents of a connection forgotten, after the frames that it has sent."""
        with self._changed:
            self._put(DocumentFrame(client, None))
            self._changed.notify()

    def found(self, key: DocumentKey, found: list[Found]) -> None:
        """Takes finds, in place of older ones."""
        with self._changed:
            self._finds[key] = RetrievalResult(key, found)
            self._changed.notify()

    def finds_for(self, key: DocumentKey) -> RetrievalResult | None:
        """Finds that were not taken yet."""
        with self._changed:
            return self._finds.pop(key, None)

    def leave(self, client: Client) -> None:
        """Drops the requests of a closed connection, and queues the removal of its documents."""
        with self._changed:
            for text in self._texts.pop(id(client), ()):
                text.on_done()
            self._put(DocumentFrame(client, None))
            gone = set(self._completions.pop(id(client), ()))
            for waiting in gone:
                waiting.on_done()
            self._cancelled -= gone
            if self._current is not None and self._current.client is client:
                self._cancelled.add(self._current)
            self._changed.notify()

    def close(self) -> None:
        """Wakes the worker up to end."""
        with self._changed:
            self.is_closing = True
            self._changed.notify()

    def take(self) -> DocumentFrame | CompletionJob | RetrievalResult | None:
        """The next text; then the next completion, which is being answered until it is `answered`; then finds.

        A completion waits for its own client's texts, and for MAX_TEXTS_IN_A_ROW of other clients at most.
        """
        with self._changed:
            is_due = self._n_texts_in_a_row >= MAX_TEXTS_IN_A_ROW
            if is_due and (waiting := self._take_completion()) is not None:
                return waiting
            if self._texts:
                self._n_texts_in_a_row += 1
                text = _next(self._texts)
                text.on_done()
                return text
            if (waiting := self._take_completion()) is not None:
                return waiting
            if self._finds:
                return self._finds.pop(next(iter(self._finds)))
            return None

    def _take_completion(self) -> CompletionJob | None:
        """The next of a client without texts, which the answer would have to wait for."""
        ready = next((key for key in self._completions if key not in self._texts), None)
        if ready is None:
            return None
        self._n_texts_in_a_row = 0
        self._completions.move_to_end(ready, last=False)
        self._current = _next(self._completions)
        return self._current

    def answered(self, waiting: CompletionJob) -> None:
        """A completion is done."""
        with self._changed:
            self._current = None
            self._cancelled.discard(waiting)
            waiting.on_done()

    def is_cancelled(self, waiting: CompletionJob) -> bool:
        return waiting in self._cancelled

    def wait(self, timeout_s: float | None) -> None:
        """Until something is put down, or for so long."""
        with self._changed:
            if not (self._texts or self._completions or self._finds or self.is_closing):
                self._changed.wait(timeout_s)

    def _put(self, text: DocumentFrame) -> None:
        self._texts.setdefault(id(text.client), deque()).append(text)

    def _unanswered(self) -> list[CompletionJob]:
        queued = [waiting for queue in self._completions.values() for waiting in queue]
        return [*queued, *([self._current] if self._current else [])]

    def _cancel_current(self, client: Client, document: str) -> None:
        """A text that changes makes the answer being made for it worthless."""
        current = self._current
        if current and current.client is client and current.frame.document == document:
            self._cancelled.add(current)


def _next(queues: OrderedDict[int, deque[T]]) -> T:
    """The oldest entry of the client whose turn it is; then the other clients have their turns."""
    key, queue = next(iter(queues.items()))
    taken = queue.popleft()
    if queue:
        queues.move_to_end(key)
    else:
        del queues[key]
    return taken
