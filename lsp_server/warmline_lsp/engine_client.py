"""Talks to the engine for as long as the server lives: reconnects, restarts, opens documents again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from warmline_engine import wire

from .engine_process import Command, Streams, engine_command, reach
from .errors import EngineError
from .remote_engine import reach_remote
from .settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
N_CRASHES, WITHIN_S = 5, 300.0
N_CRASHES_OF_DOCUMENT = 2
QUIT_WITHIN_S = 10.0


@dataclass(frozen=True)
class EngineState:
    """What the user may be told of the engine. `state` is starting, loading, ready or failed."""

    state: str
    message: str = ""
    fraction: float | None = None


@dataclass
class _Work:
    """What the engine was given and has not answered: if it dies, one of these may be why."""

    asked: dict[int, tuple[str, asyncio.Future[wire.Completion | None]]] = field(
        default_factory=dict[int, tuple[str, asyncio.Future[wire.Completion | None]]]
    )
    statuses: dict[int, asyncio.Future[wire.Status | None]] = field(
        default_factory=dict[int, asyncio.Future[wire.Status | None]]
    )
    contexts: dict[int, asyncio.Future[wire.Context | None]] = field(
        default_factory=dict[int, asyncio.Future[wire.Context | None]]
    )
    opening: dict[int, str] = field(default_factory=dict[int, str])
    edited: dict[str, int] = field(default_factory=dict[str, int])

    def suspects(self) -> set[str]:
        asked = {document for document, _ in self.asked.values()}
        return asked | set(self.opening.values()) | set(self.edited)

    def drop(self) -> None:
        """Answers everything with nothing."""
        asked = (future for _, future in self.asked.values())
        for future in (*asked, *self.statuses.values(), *self.contexts.values()):
            if not future.done():
                future.set_result(None)
        for waiting in (self.asked, self.statuses, self.contexts, self.opening, self.edited):
            waiting.clear()


class EngineClient:
    """One connection at a time; frames for an engine that is away are dropped, since a replay makes up for them."""

    def __init__(
        self,
        settings: Settings,
        documents: Callable[[], Iterable[wire.Open]],
        on_state: Callable[[EngineState], None],
        on_encoded: Callable[[wire.Encoded], None] = lambda _: None,
        command: Command = engine_command,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self.state = EngineState("starting")
        self.model: wire.ModelReady | None = None  # the last one that was ready
        self.left_out: set[str] = set()
        self._documents = documents
        self._on_state = on_state
        self._on_encoded = on_encoded
        self._command = command
        self._sleep = sleep
        self._writer: asyncio.StreamWriter | None = None
        self._takes_documents = False  # its model is loaded
        # documents that the engine has, and what of their workspace may be shown with them
        self._there: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._ids = itertools.count(1)
        self._work = _Work()
        self._crashes: deque[float] = deque()
        self._blamed: dict[str, list[float]] = {}
        self._task: asyncio.Task[None] | None = None
        self._replay_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    @property
    def is_started(self) -> bool:
        return self._task is not None

    async def stop(self) -> None:
        """Leaves the engine; it lives on for other windows."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._disconnect()

    async def end(self) -> None:
        """Ends the engine, for all windows; returns when it is gone or takes too long. A remote one lives on."""
        writer = self._writer
        if writer is None or self._task is None or self.is_remote:
            return
        writer.write(wire.pack(wire.Quit()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIT_WITHIN_S):
                while self._writer is writer:
                    await asyncio.sleep(0.02)

    @property
    def is_remote(self) -> bool:
        """Whether the engine is on another machine: it sees no files of this one, and we neither start nor end it."""
        return bool(self.settings.remote_engine)

    @property
    def is_ready(self) -> bool:
        return self._writer is not None and self.state.state == "ready"

    def has(self, document: str) -> bool:
        """Whether the engine has a document."""
        return document in self._there

    def is_shown_otherwise(self, frame: wire.Open) -> bool:
        """Whether the engine has a document, with other files around it than this."""
        known = self._there.get(frame.document)
        return known is not None and known != (frame.root, frame.excluded)

    def send(self, frame: wire.Open | wire.Edit | wire.Close | wire.MoveCursor) -> None:
        """Sends a frame of a document, unless the engine is away or the document was left out."""
        document = frame.document
        if isinstance(frame, wire.Open):
            self._open(frame)
        elif document in self._there and self._write(frame):
            if isinstance(frame, wire.Edit):
                self._work.edited[document] = frame.version
            elif isinstance(frame, wire.Close):
                self._there.pop(document, None)
                self._work.edited.pop(document, None)

    def tell(self, frame: wire.FilesChanged) -> None:
        """Sends what concerns no document, unless the engine is away."""
        if self._takes_documents:
            self._write(frame)

    def _open(self, frame: wire.Open) -> asyncio.Future[wire.Status | None] | None:
        """Opens a document; the future is done when the engine has taken it in."""
        if not self._takes_documents or frame.document in self.left_out or not self._write(frame):
            return None
        self._there[frame.document] = frame.root, frame.excluded
        request_id = next(self._ids)
        self._work.opening[request_id] = frame.document
        return self._ask_status(request_id)

    def _write(self, frame: wire.ToEngine) -> bool:
        if self._writer is None:
            return False
        try:
            self._writer.write(wire.pack(frame))
        except wire.WireError as error:
            log.warning("%s is not sent: %s", type(frame).__name__, error)
            return False
        return True

    async def complete(self, frame: wire.Complete) -> wire.Completion | None:
        """Asks for a completion; its id is ours to give. None when the engine is away or fails.

        Cancelling the task cancels the request in the engine.
        """
        import attrs

        if not self.is_ready or not self.has(frame.document):
            return None
        request_id = next(self._ids)
        future: asyncio.Future[wire.Completion | None] = asyncio.get_running_loop().create_future()
        self._work.asked[request_id] = (frame.document, future)
        self._write(attrs.evolve(frame, id=request_id))
        try:
            return await future
        except asyncio.CancelledError:
            self._write(wire.Cancel(request_id))
            raise
        finally:
            self._work.asked.pop(request_id, None)

    async def ask_status(self) -> wire.Status | None:
        """The engine's own account of itself, None when it is away."""
        return await self._ask_status(next(self._ids)) if self.is_ready else None

    async def ask_context(self, document: str) -> wire.Context | None:
        """What the model is shown for a document, None when the engine is away or has nothing of it."""
        if not self.is_ready or not self.has(document):
            return None
        frame = wire.AskContext(next(self._ids), document)
        return await self._asked(frame, self._work.contexts)

    def _ask_status(self, request_id: int) -> asyncio.Future[wire.Status | None]:
        return self._asked(wire.AskStatus(request_id), self._work.statuses)

    def _asked(
        self, frame: wire.AskContext | wire.AskStatus, waiting: dict[int, asyncio.Future[T | None]]
    ) -> asyncio.Future[T | None]:
        future: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        waiting[frame.id] = future
        self._write(frame)
        return future

    # ---- one life of the engine after the other

    async def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                await self._serve_once()
            except (EngineError, OSError) as error:
                log.warning("%s", error)
                # one that is remote is waited for, but not by looking at a spinner
                state = "failed" if self.is_remote else "starting"
                self._tell(replace(self.state, state=state, message=str(error), fraction=None))
            self._disconnect()
            if self._is_given_up():
                return
            if time.monotonic() - began > LONGEST_PAUSE_S:
                pause = FIRST_PAUSE_S
            await self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _is_given_up(self) -> bool:
        if self.is_remote:
            return False  # it may be away for hours, and is not ours to mend
        now = time.monotonic()
        self._crashes.append(now)
        while now - self._crashes[0] > WITHIN_S:
            self._crashes.popleft()
        if len(self._crashes) < N_CRASHES:
            return False
        reason = self.state.message or "it ended unexpectedly"
        self._tell(
            EngineState(
                "failed", f"the engine stopped {N_CRASHES} times: {reason}; restart Warmline"
            )
        )
        return True

    async def _serve_once(self) -> None:
        streams = await self._reach()
        self._writer = streams[1]
        try:
            while True:
                self._take(await wire.read(streams[0]))
        except (asyncio.IncompleteReadError, ConnectionError):
            log.warning("the engine is gone")
            if self.is_remote:  # or the network; no document is to blame
                self._tell(EngineState("starting", "the remote engine is gone; it is tried again"))
                return
            self._tell(EngineState("starting", "the engine is gone and is started again"))
            self._blame()
        except wire.WireError as error:
            log.error("the engine sent what cannot be read: %s", error)
            self._tell(EngineState("starting", "the engine sent what cannot be read"))
        finally:
            _close(streams)

    async def _reach(self) -> Streams:
        if not self.is_remote:
            self._tell(replace(self.state, state="starting", fraction=None))
            return await reach(self.settings, "warmline lsp", self._command)
        # what was wrong the last time stays in sight
        streams = await reach_remote(self.settings, "warmline lsp")
        self._tell(EngineState("starting"))
        return streams

    def _blame(self) -> None:
        """Leaves out a document that the engine was at work on when it died, and when it died before."""
        now = time.monotonic()
        for document in self._work.suspects():
            crashes = [at for at in self._blamed.get(document, []) if now - at < WITHIN_S]
            self._blamed[document] = [*crashes, now]
            if len(crashes) + 1 >= N_CRASHES_OF_DOCUMENT and document not in self.left_out:
                self.left_out.add(document)
                name = unquote(urlsplit(document).path).rpartition("/")[2]
                log.error("%s is left out: the engine died twice while working on it", name)

    def _disconnect(self) -> None:
        self._writer, self._takes_documents = None, False
        self._there.clear()
        self._work.drop()
        if self._replay_task is not None:
            self._replay_task.cancel()
            self._replay_task = None

    # ---- what the engine says

    def _take(self, frame: wire.Frame) -> None:
        if isinstance(frame, wire.Completion):
            self._answer(frame.id, frame)
        elif isinstance(frame, wire.Encoded):
            if self._work.edited.get(frame.document, frame.version + 1) <= frame.version:
                del self._work.edited[frame.document]
            self._on_encoded(frame)
        elif isinstance(frame, wire.Context):
            _settle(self._work.contexts, frame.id, frame)
        elif isinstance(frame, wire.Failure):
            self._fail(frame)
        elif isinstance(frame, wire.Progress):
            self._tell(EngineState("loading", frame.stage, frame.fraction))
        elif isinstance(frame, wire.ModelReady):
            self.model = frame
            self._takes_documents = True
            self._replay_task = asyncio.create_task(self._replay())
        elif isinstance(frame, wire.Status):
            self._work.opening.pop(frame.id, None)
            _settle(self._work.statuses, frame.id, frame)

    async def _replay(self) -> None:
        """Opens documents one at a time, so that one the engine dies of is known by name."""
        while True:
            left = (o for o in self._documents() if not self.has(o.document))
            opening = next((o for o in left if o.document not in self.left_out), None)
            if opening is None:
                break
            taken_in = self._open(opening)
            if taken_in is None or await taken_in is None:
                return
        self._tell(EngineState("ready"))

    def _fail(self, frame: wire.Failure) -> None:
        if frame.id is not None:
            self._answer(frame.id, None)
            _settle(self._work.contexts, frame.id, None)
        if frame.code == "model":
            self._tell(EngineState("failed", frame.message))
        elif frame.code in ("out_of_sync", "unknown_document"):
            log.warning("a document is sent anew: %s", frame.message)
            self._work.edited.pop(frame.document, None)
            for opening in self._documents():
                if opening.document == frame.document:
                    self._open(opening)
        elif frame.code != "not_ready":
            log.warning("the engine says %s: %s", frame.code, frame.message)

    def _answer(self, request_id: int, frame: wire.Completion | None) -> None:
        _, future = self._work.asked.pop(request_id, ("", None))
        if future is not None and not future.done():
            future.set_result(frame)

    def _tell(self, state: EngineState) -> None:
        if state != self.state:
            self.state = state
            self._on_state(state)


def _settle(
    waiting: dict[int, asyncio.Future[T | None]], request_id: int, answer: T | None
) -> None:
    """Answers what was asked under an id, if somebody still waits for it."""
    future = waiting.pop(request_id, None)
    if future is not None and not future.done():
        future.set_result(answer)


def _close(streams: Streams) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        streams[1].close()
