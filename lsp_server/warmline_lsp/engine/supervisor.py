"""Keeps one engine connected: starts it, notices that it hangs, and starts another when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace

from warmline_lsp.errors import EngineUnavailable
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire

from . import engine_process
from .engine_connection import EngineConnection, connect
from .engine_state import CurrentState, EngineState, Phase
from .liveness import Frame, Limits
from .sending.document_sender import DocumentSender
from .sending.outbox import Outbox
from .sending.pending_requests import PendingRequests
from .starting import Command

log = logging.getLogger(__name__)

QUIT_WITHIN_S = 10.0
FIRST_PAUSE_S, MAX_PAUSE_S = 1.0, 60.0
N_CRASHES, WITHIN_S = 5, 300.0


class Supervisor:
    """One connection at a time."""

    def __init__(
        self,
        settings: Settings,
        command: Command,
        limits: Limits,
        state: CurrentState,
        outbox: Outbox,
        requests: PendingRequests,
        sender: DocumentSender,
        take: Callable[[EngineConnection, wire.Frame], None],
    ) -> None:
        """`take` gets each frame of the engine."""
        self.connection: EngineConnection | None = None
        self._settings = settings
        self._command = command
        self._limits = limits
        self._state = state
        self._outbox = outbox
        self._requests = requests
        self._sender = sender
        self._take = take
        self._restarts = Restarts()

    @property
    def is_remote(self) -> bool:
        return bool(self._settings.remote_engine)

    async def run(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Serves one engine after the other; returns when they have ended too often."""
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
            self.disconnect()
            if self._is_given_up():
                return
            await sleep(self._restarts.next_pause_s())

    def _note_failed_start(self, message: str) -> None:
        # a remote engine may be away for long: no progress is shown meanwhile
        phase = Phase.FAILED if self.is_remote else Phase.STARTING
        self._state.set(replace(self._state.value, state=phase, message=message, fraction=None))

    def _is_given_up(self) -> bool:
        if self.is_remote:
            return False  # it may be away for hours, and cannot be repaired from here
        if not self._restarts.note_end():
            return False
        reason = self._state.value.message or "it ended unexpectedly"
        message = f"the engine stopped {N_CRASHES} times: {reason}; restart Warmline"
        self._state.set(EngineState(Phase.FAILED, message))
        return True

    async def end(self) -> None:
        """Ends the engine for all windows, and returns when it is gone.

        An engine that does not end is killed, or loses its socket if its process is not known for certain.
        """
        connection = self.connection
        if connection is None:
            with contextlib.suppress(EngineUnavailable, OSError):
                await engine_process.end(self._settings, QUIT_WITHIN_S)
            return
        connection.writer.write(wire.pack(wire.Quit()))
        try:
            async with asyncio.timeout(QUIT_WITHIN_S):
                while self.connection is connection:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            await connection.kill()

    def expect_answer(self) -> None:
        """Notes that the engine owes an answer: from now on silence is noticed."""
        if self.connection is not None:
            self.connection.watch.asked()

    def disconnect(self) -> None:
        """Forgets the connection and all that the engine had."""
        self.connection = None
        self._outbox.disconnect()
        self._sender.disconnect()
        self._requests.fail_all()

    async def catch_up(self, writer: asyncio.StreamWriter) -> None:
        """Waits until the engine has read its messages, and then sends what was dropped."""
        connection = self.connection
        self.expect_answer()
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

    async def _serve_once(self) -> None:
        if not self.is_remote:
            self._state.set(replace(self._state.value, state=Phase.STARTING, fraction=None))
        connection = await connect(self._settings, self._command, self._limits)
        if self.is_remote:  # until now the last failure was shown
            self._state.set(EngineState(Phase.STARTING))
        self.connection = connection
        self._outbox.connect(connection.writer)
        connection.watch.asked()  # the model is due
        watching = asyncio.create_task(self._replace_when_hung(connection))
        try:
            while True:
                self._take(
                    connection, await wire.read(Frame(connection.reader, self._limits.frame_s))
                )
                is_due = connection.is_loading or self._outbox.is_behind or len(self._requests) > 0
                connection.watch.heard(is_due)
        except TimeoutError:
            message = "the engine stopped in the middle of a message"
            log.error("%s", message)
            self._state.set(EngineState(Phase.STARTING, message))
        except (asyncio.IncompleteReadError, ConnectionError):
            self._note_end(connection.why_ended)
        except wire.WireError as error:
            log.error("the engine sent an invalid message: %s", error)
            self._state.set(EngineState(Phase.STARTING, "the engine sent an invalid message"))
        finally:
            watching.cancel()
            connection.close()

    def _note_end(self, why: str) -> None:
        log.warning("the engine %s", why)
        if self.is_remote:  # or the network; no document is to blame
            self._state.set(EngineState(Phase.STARTING, f"the remote engine {why}; reconnecting"))
            return
        self._state.set(EngineState(Phase.STARTING, f"the engine {why}; restarting it"))
        candidates = self._sender.sent.crash_candidates(self._requests.completing())
        self._sender.crashes.note_crash(*candidates)

    async def _replace_when_hung(self, connection: EngineConnection) -> None:
        await self._replace(await connection.watch.until_hung(), connection)

    async def _replace(self, what: str, connection: EngineConnection) -> None:
        """Ends an engine that hangs; the connection ends with it, and the next engine is started."""
        if self.connection is connection:
            log.error("the engine %s", what)
            connection.why_ended = what
            await connection.kill()


class Restarts:
    """When an engine that ended is started again: after growing pauses, and not for ever."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pause_s = FIRST_PAUSE_S
        self._started = clock()
        self._ends: deque[float] = deque()

    def note_start(self) -> None:
        self._started = self._clock()

    def note_end(self) -> bool:
        """Notes that the engine ended; returns whether it has ended too often."""
        now = self._clock()
        self._ends.append(now)
        while now - self._ends[0] > WITHIN_S:
            self._ends.popleft()
        return len(self._ends) >= N_CRASHES

    def next_pause_s(self) -> float:
        """The pause before the next start; after an engine that ran for long it is short again."""
        if self._clock() - self._started > MAX_PAUSE_S:
            self._pause_s = FIRST_PAUSE_S
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, MAX_PAUSE_S)
        return pause_s
