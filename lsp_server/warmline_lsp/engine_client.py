"""Talks to the engine for as long as the server lives: reconnects, restarts, opens documents again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from warmline_engine import wire

from .engine_process import Command, Streams, engine_command, reach
from .errors import EngineError
from .settings import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
N_CRASHES, WITHIN_S = 5, 300.0
N_CRASHES_OF_DOCUMENT = 2


@dataclass(frozen=True)
class EngineState:
    """What the user may be told of the engine. `state` is starting, loading, ready or failed."""

    state: str
    message: str = ""
    fraction: float | None = None
    model: wire.ModelReady | None = None


class EngineClient:
    """One connection at a time; frames for an engine that is away are dropped, since a replay makes up for them."""

    def __init__(
        self,
        settings: Settings,
        documents: Callable[[], Iterable[wire.Open]],
        on_state: Callable[[EngineState], None],
        on_encoded: Callable[[wire.Encoded], None] = lambda _: None,
        command: Command = engine_command,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self.state = EngineState("starting")
        self.left_out: set[str] = set()
        self._settings = settings
        self._documents = documents
        self._on_state = on_state
        self._on_encoded = on_encoded
        self._command = command
        self._first_pause_s = first_pause_s
        self._writer: asyncio.StreamWriter | None = None
        self._is_open = False  # documents have been replayed
        self._ids = itertools.count(1)
        self._asked: dict[int, tuple[str, asyncio.Future[wire.Completion | None]]] = {}
        self._statuses: dict[int, asyncio.Future[wire.Status | None]] = {}
        self._replaying = ""
        self._crashes: deque[float] = deque()
        self._blamed: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Leaves the engine; it lives on for other windows."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._disconnect()

    @property
    def is_ready(self) -> bool:
        return self._is_open and self.state.state == "ready"

    def send(self, frame: wire.ToEngine) -> None:
        """Sends a frame of a document, unless the engine is away or the document was left out."""
        document = getattr(frame, "document", "")
        if self._writer is None or not self._is_open or document in self.left_out:
            return
        try:
            self._writer.write(wire.pack(frame))
        except wire.WireError as error:
            log.warning("%s is not sent: %s", type(frame).__name__, error)

    async def complete(self, frame: wire.Complete) -> wire.Completion | None:
        """Asks for a completion; its id is ours to give. None when the engine is away or fails.

        Cancelling the task cancels the request in the engine.
        """
        if not self.is_ready or frame.document in self.left_out:
            return None
        request_id = next(self._ids)
        future: asyncio.Future[wire.Completion | None] = asyncio.get_running_loop().create_future()
        self._asked[request_id] = (frame.document, future)
        self.send(replace_id(frame, request_id))
        try:
            return await future
        except asyncio.CancelledError:
            self.send(wire.Cancel(request_id))
            raise
        finally:
            self._asked.pop(request_id, None)

    async def ask_status(self) -> wire.Status | None:
        """The engine's own account of itself, None when it is away."""
        if not self._is_open:
            return None
        request_id = next(self._ids)
        future: asyncio.Future[wire.Status | None] = asyncio.get_running_loop().create_future()
        self._statuses[request_id] = future
        self.send(wire.AskStatus(request_id))
        return await future

    async def _run(self) -> None:
        pause = self._first_pause_s
        while True:
            began = time.monotonic()
            try:
                await self._serve_once()
            except EngineError as error:
                log.warning("%s", error)
                self._tell(replace(self.state, state="starting", message=str(error)))
            self._disconnect()
            if self._is_given_up():
                return
            if time.monotonic() - began > LONGEST_PAUSE_S:
                pause = self._first_pause_s
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _is_given_up(self) -> bool:
        now = time.monotonic()
        self._crashes.append(now)
        while self._crashes and now - self._crashes[0] > WITHIN_S:
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
        self._tell(EngineState("starting"))
        streams = await reach(self._settings, "warmline lsp", self._command)
        self._writer = streams[1]
        try:
            while True:
                self._take(await wire.read(streams[0]))
        except (asyncio.IncompleteReadError, ConnectionError):
            log.warning("the engine is gone")
            self._tell(EngineState("starting", "the engine is gone and is started again"))
        except wire.WireError as error:
            log.error("the engine sent what cannot be read: %s", error)
        finally:
            self._blame(streams)

    def _blame(self, streams: Streams) -> None:
        streams[1].close()
        suspects = {document for document, _ in self._asked.values()} | {self._replaying}
        for document in suspects - {""}:
            self._blamed[document] += 1
            if self._blamed[document] == N_CRASHES_OF_DOCUMENT:
                self.left_out.add(document)
                log.error("a document is left out, the engine ended twice while working on it")

    def _disconnect(self) -> None:
        self._writer, self._is_open, self._replaying = None, False, ""
        for _, future in list(self._asked.values()):
            if not future.done():
                future.set_result(None)
        for future in self._statuses.values():
            if not future.done():
                future.set_result(None)
        self._statuses.clear()

    def _take(self, frame: wire.Frame) -> None:
        if isinstance(frame, wire.Completion):
            self._answer(frame.id, frame)
        elif isinstance(frame, wire.Encoded):
            self._on_encoded(frame)
        elif isinstance(frame, wire.Failure):
            self._fail(frame)
        elif isinstance(frame, wire.Progress):
            self._tell(EngineState("loading", frame.stage, frame.fraction))
        elif isinstance(frame, wire.ModelReady):
            self._replay()
            self._tell(EngineState("ready", model=frame))
        elif isinstance(frame, wire.Status):
            future = self._statuses.pop(frame.id, None)
            if future is not None and not future.done():
                future.set_result(frame)

    def _replay(self) -> None:
        self._is_open = True
        for opening in self._documents():
            self._replaying = opening.document
            self.send(opening)
        self._replaying = ""

    def _fail(self, frame: wire.Failure) -> None:
        if frame.id is not None:
            self._answer(frame.id, None)
        if frame.code == "model":
            self._tell(EngineState("failed", frame.message))
        elif frame.code in ("out_of_sync", "unknown_document"):
            log.warning("a document is sent anew: %s", frame.message)
            for opening in self._documents():
                if opening.document == frame.document:
                    self.send(opening)
        elif frame.code != "not_ready":
            log.warning("the engine says %s: %s", frame.code, frame.message)

    def _answer(self, request_id: int, frame: wire.Completion | None) -> None:
        _, future = self._asked.pop(request_id, ("", None))
        if future is not None and not future.done():
            future.set_result(frame)

    def _tell(self, state: EngineState) -> None:
        if state != self.state:
            self.state = state
            self._on_state(state)


def replace_id(frame: wire.Complete, request_id: int) -> wire.Complete:
    """The same question under another id."""
    import attrs

    return attrs.evolve(frame, id=request_id)
