"""Status of the engine and of the current document, progress and statistics, without any text of documents."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import sys
import time
import uuid
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any, Protocol

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from warmline_lsp.completion.usage_statistics import UsageStatistics
from warmline_lsp.documents.documents import Document
from warmline_lsp.engine.engine_client import EngineClient
from warmline_lsp.engine.engine_state import EngineState, Phase
from warmline_lsp.settings.scopes import Scopes
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire
from warmline_protocol.folders import cache_folder

from .client_messages import ClientMessages
from .eligibility import Refusal
from .open_documents import OpenDocuments

if TYPE_CHECKING:
    from pygls.progress import Progress

log = logging.getLogger(__name__)

REPLY_WITHIN_S = 5.0  # of a client, to a request for a progress bar


class StatusSource(Protocol):
    """The parts of a server that a status is made from."""

    documents: OpenDocuments
    engine: EngineClient
    scopes: Scopes
    statistics: UsageStatistics

    @property
    def version(self) -> str: ...

    @property
    def client_capabilities(self) -> types.ClientCapabilities: ...

    @property
    def work_done_progress(self) -> Progress: ...

    def refusal(self, document: Document) -> Refusal | None: ...

    def in_background(self, work: Coroutine[Any, Any, None]) -> None: ...


class Reporter:
    """Sends `warmline/status` when something changed, and progress while a model loads."""

    def __init__(self, server: StatusSource, messages: ClientMessages) -> None:
        self._server = server
        self._messages = messages
        self._current = ""  # URI of the document that the user works in
        self._is_current_sent = False  # whether the client says where the user is
        self._last: dict[str, Any] = {}
        self._counts: dict[str, wire.Encoded] = {}
        self._progress: str | None = None
        self._progress_order = asyncio.Lock()
        self._n_working = 0

    def engine_changed(self, state: EngineState) -> None:
        """Reports a new state of the engine."""
        self._server.in_background(self._show_progress(state))
        self.refresh()

    @contextlib.contextmanager
    def working(self) -> Generator[None]:
        """A context in which a completion is computed."""
        self._n_working += 1
        self.refresh()
        try:
            yield
        finally:
            self._n_working -= 1
            self.refresh()

    def closed(self, uri: str) -> None:
        """Forgets a document."""
        self._counts.pop(uri, None)
        if self._current == uri:
            self._current = ""
            self.refresh()

    def set_current(self, uri: str) -> None:
        """Notes the document that the user works in, as the client reports it."""
        self._current, self._is_current_sent = uri, True
        self.refresh()

    def guess_current(self, uri: str) -> None:
        """Assumes that the user works in a document that was opened or changed, unless the client reports it.

        VS Code also opens and changes documents that nobody sees, for example when a command writes its settings.
        """
        if not (self._is_current_sent and self._current):
            self._current = uri
        self.refresh()

    def encoded(self, frame: wire.Encoded) -> None:
        """Notes the cost of an edit, and notifies the client of it."""
        self._counts[frame.document] = frame
        self._messages.notify(
            "encoded",
            {
                "uri": frame.document, "version": frame.version, "nEncoded": frame.n_encoded,
                "nTokens": frame.n_tokens, "nFresh": frame.n_fresh, "elapsedMs": frame.elapsed_ms,
            },
        )  # fmt: skip
        self.refresh()

    def refresh(self) -> None:
        """Sends the status to a client that asked for it, unless it equals the last one sent."""
        if "status" not in self._messages.announced:
            return
        status = self._status()
        if status != self._last and self._messages.is_connected:
            self._last = status
            self._messages.notify("status", status)

    def _status(self) -> dict[str, Any]:
        server = self._server
        engine, document = server.engine.state, server.documents.get(self._current)
        state, message = engine.state, engine.message
        refused = server.refusal(document) if document else None
        if document is None and not server.scopes.window.enable:
            refused = Refusal.OFF
        # the user wants to have it off; other refusals matter less than a failure of the engine
        if refused and (refused.state == "off" or state != Phase.FAILED):
            state, message = refused.state, refused.message
        elif state == Phase.FAILED:
            state = "error"
        elif server.engine.is_too_large(self._current):
            state, message = Refusal.TOO_LARGE.state, Refusal.TOO_LARGE.message
        elif self._current in server.engine.quarantined:
            name = self._current.rpartition("/")[2]
            state, message = (
                "excluded",
                f"The engine crashed twice on {name}; the file is excluded until you open it again",
            )
        elif self._current in server.engine.failing:
            name = self._current.rpartition("/")[2]
            message = f"The engine fails on {name}; the file is excluded until you change it"
            state = "excluded"
        counts = self._counts.get(self._current)
        statistics, model = server.statistics, server.engine.model
        settings = server.scopes.window
        return {
            "uri": self._current,
            "state": state,
            "message": message,
            "working": self._n_working > 0,
            "model": _names(model) if model else settings.remote_engine or settings.model,
            "percent": None if engine.fraction is None else round(100 * engine.fraction),
            "nTokens": counts.n_tokens if counts else None,
            "nFresh": counts.n_fresh if counts else None,
            "p50Ms": statistics.percentile(0.5),
            "p95Ms": statistics.percentile(0.95),
            "acceptedShare": statistics.accepted_share,
        }

    async def _show_progress(self, state: EngineState) -> None:
        window = self._server.client_capabilities.window
        if not window or not window.work_done_progress:
            return
        progress = self._server.work_done_progress
        message = f"{state.message or 'loading'} the model"  # or "fetching"
        # states arrive faster than a client creates its progress bar, so each waits for the one before
        async with self._progress_order:
            if state.state is Phase.LOADING and self._progress is None:
                self._progress = await self._new_progress(message)
            elif state.state is Phase.LOADING and state.fraction is not None:
                percentage = round(100 * state.fraction)
                report = types.WorkDoneProgressReport(message=message, percentage=percentage)
                progress.report(str(self._progress), report)
            elif state.state is not Phase.LOADING and self._progress is not None:
                progress.end(self._progress, types.WorkDoneProgressEnd())
                self._progress = None

    async def _new_progress(self, message: str) -> str | None:
        """The token of a progress bar; None if the client refuses or does not reply in time."""
        progress, token = self._server.work_done_progress, str(uuid.uuid4())
        try:
            async with asyncio.timeout(REPLY_WITHIN_S):
                await progress.create_async(token)  # pyright: ignore[reportUnknownMemberType]
        except (TimeoutError, JsonRpcException):
            log.warning("the client does not show progress")
            return None
        begin = types.WorkDoneProgressBegin("Warmline", message=message, percentage=0)
        progress.begin(token, begin)
        return token

    def statistics(self) -> dict[str, Any]:
        """Counts since the server started."""
        return self._server.statistics.summary(time.monotonic())

    async def debug_information(self) -> dict[str, Any]:
        """Information for a bug report: versions, settings, counts; no text and no paths of documents."""
        server = self._server
        engine = await server.engine.ask_status()
        model = server.engine.model
        return {
            "python": sys.version.split()[0],
            "platform": platform.platform(),
            "version": server.version,
            "engineState": server.engine.state.state,
            "engineMessage": server.engine.state.message,
            "model": wire_fields(model),
            "documents": len(server.documents),
            "cacheBytes": engine.cache_bytes if engine else None,
            "cacheFolder": _cache_folder(),
            "settings": _changed(server.scopes.window),
            "statistics": self.statistics(),
        }


def _cache_folder() -> str:
    try:
        return str(cache_folder())
    except OSError as error:
        return str(error)


def _changed(settings: Settings) -> dict[str, Any]:
    """Settings that differ from their default. Lists and texts, which may be private, are reported as "changed"."""
    different = {
        name: value for name, value in vars(settings).items() if value != getattr(Settings(), name)
    }
    return {
        name: value if isinstance(value, bool | int | float) else "changed"
        for name, value in different.items()
    }


def wire_fields(frame: wire.ModelReady | None) -> dict[str, Any] | None:
    """The fields of a frame by name."""
    import attrs

    return attrs.asdict(frame) if frame else None


def _names(model: wire.ModelReady) -> str:
    return f"{model.name}, with {model.small_name}" if model.small_name else model.name
