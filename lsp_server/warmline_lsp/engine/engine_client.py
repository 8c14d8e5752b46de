"""Talks to the engine for as long as the server lives: connects, reconnects, restarts, passes requests on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any

from warmline_lsp.errors import EngineUnavailable
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire

from . import engine_process
from .document_sender import DocumentSender
from .engine_connection import EngineConnection, connect
from .engine_process import Command, engine_command
from .engine_state import EngineState, Phase
from .liveness import Frame, Limits
from .outbox import Outbox
from .pending_requests import PendingRequests
from .requester import Requester
from .restarts import N_CRASHES, Restarts

log = logging.getLogger(__name__)

QUIT_WITHIN_S = 10.0


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
        self.state = EngineState(Phase.STARTING)
        self.model: wire.ModelReady | None = None  # the last one that was ready
        self.sleep = sleep
        self._on_state = on_state
        self._on_encoded = on_encoded
        self._command = command
        self._limits = limits or Limits()
        self._connection: EngineConnection | None = None
        self._outbox = Outbox(lambda writer: self._in_background(self._catch_up(writer)))
        self._requests = PendingRequests()
        self._requester = Requester(
            self._requests, self._outbox, self._expect_answer, self._limits.request_s
        )
        self._sender = DocumentSender(
            documents,
            self._outbox,
            self._requester.request_status,
            self._pause,
            on_all_sent=lambda: self._notify(EngineState(Phase.READY)),
            on_left_out=lambda: self._on_state(self.state),
            on_too_large=on_too_large,
        )
        self._restarts = Restarts()
        self._tasks: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    # ---- life

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    @property
    def is_started(self) -> bool:
        return self._task is not None

    async def wait_until_given_up(self) -> None:
        """Returns when the engine has stopped too often to be started again."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Leaves the engine; it goes on for other windows."""
        for task in (self._task, *self._tasks, *self._sender.tasks()):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._disconnect()

    async def end(self) -> None:
        """Ends the engine for all windows, and returns when it is gone. A remote engine goes on.

        An engine that does not end is killed, or loses its socket if its process is not known for certain.
        """
        if self._task is None or self.is_remote:
            return
        connection = self._connection
        if connection is None:
            with contextlib.suppress(EngineUnavailable, OSError):
                await engine_process.end(self.settings, QUIT_WITHIN_S)
            return
        connection.writer.write(wire.pack(wire.Quit()))
        try:
            async with asyncio.timeout(QUIT_WITHIN_S):
                while self._connection is connection:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            await connection.kill()

    @property
    def is_remote(self) -> bool:
        """Whether the engine is on another machine: it cannot read files of this one, and is not started or ended."""
        return bool(self.settings.remote_engine)

    @property
    def is_ready(self) -> bool:
        return self._connection is not None and self.state.state is Phase.READY

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

    def _expect_answer(self) -> None:
        if self._connection is not None:
            self._connection.watch.asked()

    # ---- one engine after the other

    async def _run(self) -> None:
        while True:
            self._restarts.note_start()
            try:
                await self._serve_once()
            except (EngineUnavailable, OSError) as error:
                log.warning("%s", error)
                self._note_failed_start(str(error))
            # a process loop: the user must not wait for ever
            except Exception as error:
                log.exception("the engine cannot be used")
                self._note_failed_start(f"the engine cannot be used: {type(error).__name__}")
            self._disconnect()
            if self._is_given_up():
                return
            await self.sleep(self._restarts.next_pause_s())

    def _note_failed_start(self, message: str) -> None:
        # a remote engine may be away for long: no progress is shown meanwhile
        phase = Phase.FAILED if self.is_remote else Phase.STARTING
        self._notify(replace(self.state, state=phase, message=message, fraction=None))

    def _is_given_up(self) -> bool:
        if self.is_remote:
            return False  # it may be away for hours, and cannot be repaired from here
        if not self._restarts.note_end():
            return False
        reason = self.state.message or "it ended unexpectedly"
        message = f"the engine stopped {N_CRASHES} times: {reason}; restart Warmline"
        self._notify(EngineState(Phase.FAILED, message))
        return True

    async def _serve_once(self) -> None:
        if not self.is_remote:
            self._notify(replace(self.state, state=Phase.STARTING, fraction=None))
        connection = await connect(self.settings, self._command, self._limits)
        if self.is_remote:  # until now the last failure was shown
            self._notify(EngineState(Phase.STARTING))
        self._connection = connection
        self._outbox.connect(connection.writer)
        connection.watch.asked()  # the model is due
        watching = asyncio.create_task(self._replace_when_hung(connection))
        try:
            while True:
                self._take(
                    connection, await wire.read(Frame(connection.reader, self._limits.frame_s))
                )
                is_due = connection.is_loading or self._outbox.is_behind or self.n_pending > 0
                connection.watch.heard(is_due)
        except TimeoutError:
            log.error("the engine stopped in the middle of a message")
            message = "the engine stopped in the middle of a message"
            self._notify(EngineState(Phase.STARTING, message))
        except (asyncio.IncompleteReadError, ConnectionError):
            self._note_end(connection.why_ended)
        except wire.WireError as error:
            log.error("the engine sent an invalid message: %s", error)
            self._notify(EngineState(Phase.STARTING, "the engine sent an invalid message"))
        finally:
            watching.cancel()
            connection.close()

    def _note_end(self, why: str) -> None:
        log.warning("the engine %s", why)
        if self.is_remote:  # or the network; no document is to blame
            self._notify(EngineState(Phase.STARTING, f"the remote engine {why}; reconnecting"))
            return
        self._notify(EngineState(Phase.STARTING, f"the engine {why}; restarting it"))
        candidates = self._sender.sent.crash_candidates(self._requests.completing())
        self._sender.crashes.note_crash(*candidates)

    async def _replace_when_hung(self, connection: EngineConnection) -> None:
        await self._replace(await connection.watch.until_hung(), connection)

    async def _replace(self, what: str, connection: EngineConnection) -> None:
        """Ends an engine that hangs; the connection ends with it, and the next engine is started."""
        if self._connection is connection:
            log.error("the engine %s", what)
            connection.why_ended = what
            await connection.kill()

    async def _catch_up(self, writer: asyncio.StreamWriter) -> None:
        """Waits until the engine has read its messages, and then sends what was dropped."""
        connection = self._connection
        self._expect_answer()
        try:
            async with asyncio.timeout(self._limits.working_s):
                await writer.drain()
        except TimeoutError:
            if connection is not None:
                await self._replace("does not read what it is sent", connection)
            return
        except OSError:
            return  # it is gone
        if self._outbox.is_at(writer):
            self._outbox.resume()
            self._sender.catch_up()

    def _disconnect(self) -> None:
        self._connection = None
        self._outbox.disconnect()
        self._sender.disconnect()
        self._requests.fail_all()

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
                self._notify(EngineState(Phase.LOADING, frame.stage, frame.fraction))
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
            self._notify(EngineState(Phase.FAILED, frame.message))
        elif frame.code in ("out_of_sync", "unknown_document"):
            self._sender.send_again(frame)
        elif frame.code == "invalid_frame" and frame.id is None and frame.document:
            # the engine closes a document when it cannot read a change of it
            self._sender.send_again(frame)
        elif frame.code != "not_ready":
            log.warning("the engine reports %s: %s", frame.code, frame.message)

    async def _pause(self, seconds: float) -> None:
        await self.sleep(seconds)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _notify(self, state: EngineState) -> None:
        if state != self.state:
            self.state = state
            self._on_state(state)
