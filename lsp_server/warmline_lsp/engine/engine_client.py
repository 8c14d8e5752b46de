"""Talks to the engine for as long as the server lives: reconnects, restarts, opens documents again."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from warmline_lsp.errors import EngineUnavailable
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire

from . import engine_process
from .engine_process import Command, Met, Streams, engine_command, is_answering, meet
from .failing import Failing
from .liveness import Frame, Limits, Watch
from .remote_engine import is_answering_remote, reach_remote

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
N_CRASHES, WITHIN_S = 5, 300.0
N_CRASHES_OF_DOCUMENT = 2
QUIT_WITHIN_S = 10.0
MAX_BATCH, MAX_BATCH_CHARACTERS = (
    64,
    2_000_000,
)  # of documents that are sent before the engine took them
MAX_QUEUED_BYTES = 16 * 2**20  # that the engine has not read
MAX_ASKED = 256  # completions at once


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
    # documents sent and not yet taken: those that a status was asked behind, and those after
    opening: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    opened: list[str] = field(default_factory=list[str])
    edited: dict[str, int] = field(default_factory=dict[str, int])

    def crash_candidates(self) -> tuple[set[str], set[str]]:
        """Documents that the engine was at work on, and those of which it was at work on one."""
        batches = [*self.opening.values(), self.opened]
        alone = {name for batch in batches if len(batch) == 1 for name in batch}
        sure = alone | {document for document, _ in self.asked.values()} | set(self.edited)
        return sure, {name for batch in batches for name in batch} - sure

    def is_due(self) -> bool:
        """Whether the engine owes an answer."""
        return bool(self.asked or self.statuses or self.contexts)

    def drop(self) -> None:
        """Answers everything with nothing."""
        asked = (future for _, future in self.asked.values())
        for future in (*asked, *self.statuses.values(), *self.contexts.values()):
            if not future.done():
                future.set_result(None)
        for waiting in (self.asked, self.statuses, self.contexts, self.opening, self.edited):
            waiting.clear()
        self.opened.clear()


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
        limits: Limits | None = None,
    ) -> None:
        self.settings = settings
        self.state = EngineState("starting")
        self.model: wire.ModelReady | None = None  # the last one that was ready
        self.quarantined: set[str] = set()
        self._documents = documents
        self._on_state = on_state
        self._on_encoded = on_encoded
        self._command = command
        self._sleep = sleep
        self._limits = limits or Limits()
        self._met: Met | None = None  # an engine of this machine
        self._watch: Watch | None = None
        self._hung = ""  # what is wrong with an engine that was found to hang
        self._is_loading = False
        self._writer: asyncio.StreamWriter | None = None
        self._takes_documents = False  # its model is loaded
        # documents that the engine has, and what of their workspace may be shown with them
        self._there: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._ids = itertools.count(1)
        self._work = _Work()
        self._crashes: deque[float] = deque()
        self._blamed: dict[str, list[float]] = {}
        self._suspected: set[str] = set()  # the next engine opens them one at a time
        self._failing = Failing()
        self._versions: dict[str, int] = {}  # of documents that the engine has
        self._is_behind = False  # the engine does not read its messages
        self._missed_closes: set[str] = set()
        self._missed_roots: set[str] = set()
        self._wants_replay = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._replay_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    @property
    def is_started(self) -> bool:
        return self._task is not None

    @property
    def failing(self) -> set[str]:
        """Documents that are left out until they change, since the engine failed on them again and again."""
        return self._failing.quarantined()

    async def stop(self) -> None:
        """Leaves the engine; it lives on for other windows."""
        for task in (self._task, *self._tasks):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._disconnect()

    async def end(self) -> None:
        """Ends the engine, for all windows; returns when it is gone. A remote one lives on.

        One that does not end by itself is killed, or loses its socket where it is not known to be the engine.
        """
        if self._task is None or self.is_remote:
            return
        writer, met = self._writer, self._met
        if writer is None or met is None:
            with contextlib.suppress(EngineUnavailable, OSError):
                await engine_process.end(self.settings, QUIT_WITHIN_S)
            return
        writer.write(wire.pack(wire.Quit()))
        try:
            async with asyncio.timeout(QUIT_WITHIN_S):
                while self._writer is writer:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            await engine_process.replace_hung(met.streams, met.path, met.pid)

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
        if isinstance(frame, wire.Close):
            self._close(frame)
        elif isinstance(frame, wire.Open):
            if not (document in self._suspected and self._is_replaying()):
                self._open(frame)
                self._acknowledge()
        elif document in self._there:
            if not self._write(frame):
                # it has an old text: the document is sent anew once the engine reads again
                self._forget(document)
            elif isinstance(frame, wire.Edit):
                self._work.edited[document] = self._versions[document] = frame.version

    def notify(self, frame: wire.FilesChanged) -> None:
        """Sends what concerns no document, unless the engine is away."""
        if self._takes_documents and not self._write(frame):
            self._missed_roots.add(frame.root)

    def _open(self, frame: wire.Open) -> bool:
        """Opens a document; whether it was sent."""
        document = frame.document
        may_open = self._failing.may_open(document, frame.version)
        if not self._takes_documents or document in self.quarantined or not may_open:
            return False
        if not self._write(frame):
            return False
        self._failing.opened(document)
        self._missed_closes.discard(document)
        self._there[document] = frame.root, frame.excluded
        self._versions[document] = frame.version
        self._work.opened.append(document)
        return True

    def _close(self, frame: wire.Close) -> None:
        document = frame.document
        self._failing.forget(document)
        self._suspected.discard(document)
        if document in self._there and not self._write(frame):
            self._missed_closes.add(document)
        self._forget(document)

    def _forget(self, document: str) -> None:
        self._there.pop(document, None)
        self._versions.pop(document, None)
        self._work.edited.pop(document, None)

    def _acknowledge(self) -> asyncio.Future[wire.Status | None] | None:
        """Asks whether the engine has taken what was opened; one question at a time, for each names all documents."""
        if self._work.opening or not self._work.opened:
            return None
        request_id = next(self._ids)
        asked = self._ask_status(request_id)
        if asked.done():
            return None  # the engine is away or behind
        self._work.opening[request_id], self._work.opened = self._work.opened, []
        return asked

    def _write(self, frame: wire.ToEngine) -> bool:
        writer = self._writer
        if writer is None or self._is_behind:
            return False
        try:
            writer.write(wire.pack(frame))
        except wire.WireError as error:
            log.warning("%s is not sent: %s", type(frame).__name__, error)
            return False
        if writer.transport.get_write_buffer_size() > MAX_QUEUED_BYTES:
            log.warning("the engine does not read its messages")
            self._is_behind = True
            self._owe()
            self._in_background(self._catch_up(writer))
        return True

    async def _catch_up(self, writer: asyncio.StreamWriter) -> None:
        """Waits until the engine has read what it was sent, and makes up for what it was not."""
        try:
            async with asyncio.timeout(self._limits.working_s):
                await writer.drain()
        except TimeoutError:
            await self._replace("does not read what it is sent", writer)
            return
        except OSError:
            return  # it is gone
        if self._writer is not writer:
            return
        self._is_behind = False
        for document in self._missed_closes:
            self._write(wire.Close(document))
        for root in self._missed_roots:
            self._write(wire.FilesChanged(root, ()))
        self._missed_closes.clear()
        self._missed_roots.clear()
        self._start_replay()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _owe(self) -> None:
        if self._watch is not None:
            self._watch.asked()

    async def complete(self, frame: wire.Complete) -> wire.Completion | None:
        """Asks for a completion; its id is ours to give. None when the engine is away, fails or takes too long.

        Cancelling the task cancels the request in the engine.
        """
        import attrs

        if not self.is_ready or not self.has(frame.document) or len(self._work.asked) >= MAX_ASKED:
            return None
        request_id = next(self._ids)
        future: asyncio.Future[wire.Completion | None] = asyncio.get_running_loop().create_future()
        self._work.asked[request_id] = (frame.document, future)
        try:
            if not self._write(attrs.evolve(frame, id=request_id)):
                return None
            self._owe()
            async with asyncio.timeout(self._limits.request_s + (frame.deadline_ms or 0) / 1000):
                return await future
        except TimeoutError:
            log.warning("the engine does not complete in time")
            self._write(wire.Cancel(request_id))
            return None
        except asyncio.CancelledError:
            self._write(wire.Cancel(request_id))
            raise
        finally:
            self._work.asked.pop(request_id, None)

    async def ask_status(self) -> wire.Status | None:
        """The engine's own account of itself, None when it is away or takes too long."""
        if not self.is_ready:
            return None
        request_id = next(self._ids)
        return await self._in_time(self._ask_status(request_id), self._work.statuses, request_id)

    async def ask_context(self, document: str) -> wire.Context | None:
        """What the model is shown for a document, None when the engine is away or has nothing of it."""
        if not self.is_ready or not self.has(document):
            return None
        frame = wire.AskContext(next(self._ids), document)
        return await self._in_time(
            self._asked(frame, self._work.contexts), self._work.contexts, frame.id
        )

    async def _in_time(
        self,
        future: asyncio.Future[T | None],
        waiting: dict[int, asyncio.Future[T | None]],
        request_id: int,
    ) -> T | None:
        try:
            async with asyncio.timeout(self._limits.request_s):
                return await future
        except TimeoutError:
            return None
        finally:
            waiting.pop(request_id, None)

    def _ask_status(self, request_id: int) -> asyncio.Future[wire.Status | None]:
        return self._asked(wire.AskStatus(request_id), self._work.statuses)

    def _asked(
        self, frame: wire.AskContext | wire.AskStatus, waiting: dict[int, asyncio.Future[T | None]]
    ) -> asyncio.Future[T | None]:
        future: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        if self._write(frame):
            waiting[frame.id] = future
            self._owe()
        else:
            future.set_result(None)
        return future

    # ---- one life of the engine after the other

    async def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            try:
                await self._serve_once()
            except (EngineUnavailable, OSError) as error:
                log.warning("%s", error)
                self._note_failed_start(str(error))
            except Exception as error:  # a process loop: the user must not wait for ever
                log.exception("the engine cannot be used")
                self._note_failed_start(f"the engine cannot be used: {type(error).__name__}")
            self._disconnect()
            if self._is_given_up():
                return
            if time.monotonic() - began > LONGEST_PAUSE_S:
                pause = FIRST_PAUSE_S
            await self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _note_failed_start(self, message: str) -> None:
        # one that is remote is waited for, but not by looking at a spinner
        state = "failed" if self.is_remote else "starting"
        self._notify(replace(self.state, state=state, message=message, fraction=None))

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
        self._notify(
            EngineState(
                "failed", f"the engine stopped {N_CRASHES} times: {reason}; restart Warmline"
            )
        )
        return True

    async def _serve_once(self) -> None:
        streams = await self._reach()
        self._writer, self._hung, self._is_loading = streams[1], "", True
        watch = self._watch = Watch(
            self._limits, lambda: self._is_answering(streams), lambda: self._is_loading
        )
        watch.asked()  # for the model
        watching = asyncio.create_task(self._replace_when_hung(watch, streams[1]))
        try:
            while True:
                self._take(await wire.read(Frame(streams[0], self._limits.frame_s)))
                watch.heard(self._is_loading or self._is_behind or self._work.is_due())
        except TimeoutError:
            log.error("the engine stopped in the middle of a message")
            self._notify(EngineState("starting", "the engine stopped in the middle of a message"))
        except (asyncio.IncompleteReadError, ConnectionError):
            what = self._hung or "stopped"
            log.warning("the engine %s", what)
            if self.is_remote:  # or the network; no document is to blame
                self._notify(EngineState("starting", f"the remote engine {what}; reconnecting"))
                return
            self._notify(EngineState("starting", f"the engine {what}; restarting it"))
            self._blame()
        except wire.WireError as error:
            log.error("the engine sent an invalid message: %s", error)
            self._notify(EngineState("starting", "the engine sent an invalid message"))
        finally:
            watching.cancel()
            _close(streams)

    async def _reach(self) -> Streams:
        if not self.is_remote:
            self._notify(replace(self.state, state="starting", fraction=None))
            self._met = await meet(self.settings, "warmline lsp", self._command)
            return self._met.streams
        # what was wrong the last time stays in sight
        streams = await reach_remote(self.settings, "warmline lsp")
        self._notify(EngineState("starting"))
        return streams

    async def _is_answering(self, streams: Streams) -> bool:
        if self.is_remote:
            return await is_answering_remote(self.settings)
        return await is_answering(self.settings, streams)

    async def _replace_when_hung(self, watch: Watch, writer: asyncio.StreamWriter) -> None:
        await self._replace(await watch.until_hung(), writer)

    async def _replace(self, what: str, writer: asyncio.StreamWriter) -> None:
        """Ends an engine that hangs; the connection ends with it, and the next one is started."""
        if self._writer is not writer:
            return
        log.error("the engine %s", what)
        self._hung = what
        if self._met is None:  # a remote one
            writer.transport.abort()
        else:
            await engine_process.replace_hung(self._met.streams, self._met.path, self._met.pid)

    def _blame(self) -> None:
        """Leaves out a document that the engine was at work on when it died, and when it died before.

        Of documents that were sent together one may be to blame: the next engine opens them one at a time.
        """
        now = time.monotonic()
        sure, unsure = self._work.crash_candidates()
        for document in sure:
            crashes = [at for at in self._blamed.get(document, []) if now - at < WITHIN_S]
            self._blamed[document] = [*crashes, now]
            n_crashes = len(crashes) + 1 + (document in self._suspected)
            self._suspected.discard(document)
            if n_crashes >= N_CRASHES_OF_DOCUMENT and document not in self.quarantined:
                self.quarantined.add(document)
                log.error("%s is excluded: the engine crashed twice on it", _name(document))
        self._suspected |= unsure - self.quarantined

    def _disconnect(self) -> None:
        self._writer, self._met, self._watch = None, None, None
        self._takes_documents, self._is_behind, self._is_loading = False, False, False
        for forgotten in (self._there, self._versions, self._missed_closes, self._missed_roots):
            forgotten.clear()
        self._work.drop()
        if self._replay_task is not None:
            self._replay_task.cancel()
            self._replay_task = None

    # ---- what the engine says

    def _take(self, frame: wire.Frame) -> None:
        if isinstance(frame, wire.Completion):
            document, _ = self._work.asked.get(frame.id, ("", None))
            if frame.stop != "cancelled":
                self._failing.forget(document)
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
            self._notify(EngineState("loading", frame.stage, frame.fraction))
        elif isinstance(frame, wire.ModelReady):
            self.model = frame
            self._takes_documents, self._is_loading = True, False
            self._start_replay()
        elif isinstance(frame, wire.Status):
            self._taken_in(self._work.opening.pop(frame.id, []))
            _settle(self._work.statuses, frame.id, frame)
            self._acknowledge()

    def _taken_in(self, batch: list[str]) -> None:
        if len(batch) == 1:
            self._suspected.difference_update(batch)

    # ---- documents that the engine lacks

    def _is_replaying(self) -> bool:
        return self._replay_task is not None and not self._replay_task.done()

    def _start_replay(self) -> None:
        self._wants_replay = True
        if not self._is_replaying():
            self._replay_task = asyncio.create_task(self._replay())

    async def _replay(self) -> None:
        """Opens all documents that the engine lacks, in batches that grow.

        If the engine dies, each document of a batch is suspected, and opened alone by the next engine: so the one that
        it dies on twice is known by name.
        """
        size = 1
        while self._wants_replay:
            self._wants_replay = False
            n_characters = 0
            for opening in self._documents():
                document, is_alone = opening.document, opening.document in self._suspected
                if self.has(document) or not self._failing.may_open(document, opening.version):
                    continue
                if is_alone and not await self._all_taken_in():
                    return
                if not self._open(opening):
                    continue
                # another pass finds what came meanwhile
                self._wants_replay = True
                n_characters += len(opening.text)
                is_full = len(self._work.opened) >= size or n_characters > MAX_BATCH_CHARACTERS
                if is_alone or is_full:
                    if not await self._all_taken_in():
                        return
                    n_characters = 0
                    size = size if is_alone else min(2 * size, MAX_BATCH)
            if not await self._all_taken_in():
                return
        self._notify(EngineState("ready"))

    async def _all_taken_in(self) -> bool:
        """Waits until the engine has taken all that was opened; False when it is gone or behind."""
        while self._work.opening or self._work.opened:
            self._acknowledge()
            if not self._work.opening:
                return False
            waiting = self._work.statuses.get(next(iter(self._work.opening)))
            if waiting is None or await asyncio.shield(waiting) is None:
                return False
        return self._writer is not None

    def _fail(self, frame: wire.Failure) -> None:
        if frame.id is not None:
            self._answer(frame.id, None)
            _settle(self._work.contexts, frame.id, None)
        if frame.code == "model":
            self._is_loading = False
            self._notify(EngineState("failed", frame.message))
        elif frame.code in ("out_of_sync", "unknown_document"):
            self._send_again(frame)
        elif frame.code != "not_ready":
            log.warning("the engine reports %s: %s", frame.code, frame.message)

    def _send_again(self, frame: wire.Failure) -> None:
        """Sends a document anew, after a pause if the engine has failed on it before."""
        document = frame.document
        is_on_its_way = document in self._work.opened or any(
            document in batch for batch in self._work.opening.values()
        )
        if not self.has(document) or (is_on_its_way and frame.code == "unknown_document"):
            return  # frames that were sent before it was known
        pause = self._failing.note(document, self._versions.get(document))
        self._forget(document)
        if document in self._failing.quarantined():
            log.error(
                "%s is excluded until it changes: the engine fails on it: %s",
                _name(document), frame.message,
            )  # fmt: skip
            self._on_state(self.state)
        else:
            log.warning("sending a document again: %s", frame.message)
        self._in_background(self._resume(document, pause))

    async def _resume(self, document: str, pause: float) -> None:
        if pause:
            await self._sleep(pause)
        self._failing.resume(document)
        if self._takes_documents:
            self._start_replay()

    def _answer(self, request_id: int, frame: wire.Completion | None) -> None:
        _, future = self._work.asked.pop(request_id, ("", None))
        if future is not None and not future.done():
            future.set_result(frame)

    def _notify(self, state: EngineState) -> None:
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


def _name(document: str) -> str:
    return unquote(urlsplit(document).path).rpartition("/")[2]


def _close(streams: Streams) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        streams[1].close()
