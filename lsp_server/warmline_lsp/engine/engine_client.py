"""The server's view of the engine: its state, documents that are sent to it, and requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable

from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire

from .engine_connection import EngineConnection
from .engine_state import CurrentState, EngineState, Phase
from .liveness import Limits
from .sending.document_sender import DocumentSender
from .sending.outbox import Outbox
from .sending.pending_requests import PendingRequests
from .sending.requester import Requester
from .starting import Command, engine_command
from .supervisor import Supervisor

log = logging.getLogger(__name__)


class EngineClient:
    """One connection at a time. Frames for an engine that is away are dropped; the next one gets all documents."""

    def __init__(
        self,
        settings: Settings,
        documents: Callable[[], Iterable[wire.Open]],
        on_state: Callable[[EngineState], None],
        on_encoded: Callable[[wire.Encoded], None] = lambda _: None,
        command: Command = engine_command,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        limits: Limits | None = None,
        on_too_large: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_too_large` is called once for a document that does not fit into a frame."""
        self.settings = settings
        self.model: wire.ModelReady | None = None  # the last one that was ready
        self.sleep = sleep
        self._on_encoded = on_encoded
        limits = limits or Limits()
        self._current = CurrentState(on_state)
        self._outbox = Outbox(self._start_to_catch_up)
        self._requests = PendingRequests()
        self._requester = Requester(
            self._requests,
            self._outbox,
            self._expect_answer,
            limits.request_s,
        )
        self._sender = DocumentSender(
            documents,
            self._outbox,
            self._requester.request_status,
            self._pause,
            on_all_sent=lambda: self._current.set(EngineState(Phase.READY)),
            on_left_out=lambda: on_state(self.state),
            on_too_large=on_too_large,
        )
        self._supervisor = Supervisor(
            settings, command, limits, self._current, self._outbox, self._requests, self._sender, self._take
        )  # fmt: skip
        self._tasks: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> EngineState:
        return self._current.value

    # ---- life

    def start(self) -> None:
        self._task = asyncio.create_task(self._supervisor.run(self._pause))

    @property
    def is_started(self) -> bool:
        return self._task is not None

    async def stop(self) -> None:
        """Leaves the engine; it goes on for other windows."""
        for task in (self._task, *self._tasks, *self._sender.tasks()):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._supervisor.disconnect()

    async def end(self) -> None:
        """Ends the engine for all windows, and returns when it is gone. A remote engine goes on."""
        if self._task is not None and not self.is_remote:
            await self._supervisor.end()

    @property
    def is_remote(self) -> bool:
        """Whether the engine is on another machine: it cannot read files of this one, and is not started or ended."""
        return bool(self.settings.remote_engine)

    @property
    def is_ready(self) -> bool:
        return self._supervisor.connection is not None and self.state.state is Phase.READY

    @property
    def n_pending(self) -> int:
        """Requests that the engine has not answered."""
        return len(self._requests)

    @property
    def n_queued_bytes(self) -> int:
        """Bytes that the engine has not read."""
        return self._outbox.n_queued_bytes

    # ---- documents

    @property
    def failing(self) -> set[str]:
        """Documents that are left out until they change, because the engine fails on them."""
        return self._sender.failing.quarantined()

    @property
    def quarantined(self) -> set[str]:
        """Documents that are left out because the engine crashed on them twice."""
        return self._sender.crashes.quarantined

    def is_too_large(self, document: str) -> bool:
        """Whether a document is left out because it does not fit into a frame."""
        return document in self._sender.too_large

    def has(self, document: str) -> bool:
        """Whether the engine has a document."""
        return document in self._sender.sent

    def is_shown_otherwise(self, frame: wire.Open) -> bool:
        """Whether the engine has a document with another root or other globs than this."""
        known = self._sender.sent.get(frame.document)
        return known is not None and (known.root, known.excluded) != (frame.root, frame.excluded)

    def send(self, frame: wire.Open | wire.Edit | wire.Close | wire.MoveCursor) -> None:
        """Sends a frame of a document, unless the engine is away or the document is left out."""
        self._sender.send(frame)

    def notify(self, frame: wire.FilesChanged) -> None:
        """Sends a frame that concerns no document, unless the engine is away."""
        self._sender.notify(frame)

    # ---- requests

    async def complete(self, frame: wire.Complete) -> wire.Completion | None:
        """Requests a completion; the frame's id is replaced. None if the engine is away, fails or takes too long.

        Cancelling the task cancels the request in the engine.
        """
        if not self.is_ready or not self.has(frame.document):
            return None
        return await self._requester.complete(frame)

    async def ask_status(self) -> wire.Status | None:
        """The engine's status; None if it is away or takes too long."""
        return await self._requester.status() if self.is_ready else None

    async def ask_context(self, document: str) -> wire.Context | None:
        """What the model is shown for a document; None if the engine is away or does not have it."""
        if not self.is_ready or not self.has(document):
            return None
        return await self._requester.context(document)

    # ---- frames of the engine

    def _take(self, connection: EngineConnection, frame: wire.Frame) -> None:
        match frame:
            case wire.Completion():
                document = self._requests.settle(frame)
                if document and frame.stop != "cancelled":
                    self._sender.failing.forget(document)
            case wire.Context():
                self._requests.settle(frame)
            case wire.Status():
                self._sender.taken(frame.id)
                self._requests.settle(frame)
            case wire.Encoded():
                self._sender.sent.encoded(frame.document, frame.version)
                self._on_encoded(frame)
            case wire.Progress():
                self._current.set(EngineState(Phase.LOADING, frame.stage, frame.fraction))
            case wire.ModelReady():
                self.model = frame
                connection.is_loading = False
                self._sender.begin()
            case wire.Failure():
                self._fail(connection, frame)
            case _:
                pass

    def _fail(self, connection: EngineConnection, frame: wire.Failure) -> None:
        if frame.id is not None:
            self._requests.fail(frame.id)
        if frame.code == "model":
            connection.is_loading = False
            self._current.set(EngineState(Phase.FAILED, frame.message))
        elif frame.code in ("out_of_sync", "unknown_document"):
            self._sender.send_again(frame)
        elif frame.code == "invalid_frame" and frame.id is None and frame.document:
            # the engine closes a document when it cannot read a change of it
            self._sender.send_again(frame)
        elif frame.code != "not_ready":
            log.warning("the engine reports %s: %s", frame.code, frame.message)

    def _expect_answer(self) -> None:
        self._supervisor.expect_answer()

    async def _pause(self, seconds: float) -> None:
        await self.sleep(seconds)

    def _start_to_catch_up(self, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._supervisor.catch_up(writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
