"""State of one client: its documents, settings, and the engine it uses."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from warmline_lsp.completion.completer import Completer
from warmline_lsp.completion.usage_statistics import UsageStatistics
from warmline_lsp.documents.difference import Edit
from warmline_lsp.documents.documents import Document
from warmline_lsp.documents.text_units import Encoding, clean
from warmline_lsp.documents.uris import same_uri, scheme_of
from warmline_lsp.documents.workspace import InWorkspace, locate
from warmline_lsp.engine.engine_client import EngineClient, EngineState
from warmline_lsp.engine.engine_process import Command, engine_command
from warmline_lsp.errors import DocumentSyncError
from warmline_lsp.settings.scopes import Scopes
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire

from .arguments import uri_in
from .eligibility import Refusal, refusal
from .protocol import Protocol, described
from .registration import SCHEMES, Registrations
from .status import Reporter
from .transport import StreamServer

if TYPE_CHECKING:
    from pygls.server import ServerErrors

log = logging.getLogger(__name__)

NAME, VERSION = "warmline", "0.2.0"


class WarmlineServer(StreamServer):
    """What the features in `features.py` work on."""

    def __init__(self, command: Command = engine_command) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            NAME,
            VERSION,
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            protocol_cls=Protocol,
        )
        self.documents: dict[str, Document] = {}  # the one touched last is the last
        self._spellings: dict[str, str] = {}  # of open documents, the client's own
        self._notified: set[tuple[str, str]] = set()  # of which document the user knows what
        self.scopes = Scopes(self._notify_problem, self._apply_settings)
        self.announced: frozenset[str] = frozenset()  # notifications that the client asked for
        self.statistics = UsageStatistics()
        self.reporter = Reporter(self)
        self.registrations = Registrations(self)
        self._cursors: dict[str, int] = {}
        self._command = command
        self._tasks: set[asyncio.Task[None]] = set()
        self._engine_changes = asyncio.Lock()
        self.engine = self._make_engine()
        self.completer = Completer(
            self.engine, self.statistics, self.trace, notify_better=self._notify_better
        )

    # ---- what is told

    def report_server_error(self, error: Exception, source: ServerErrors) -> None:
        """Errors go to the log, never to a dialogue."""
        # without its message: that may hold what the client sent
        if isinstance(error, JsonRpcException):
            log.warning("%s: %s %d", source.__name__, type(error).__name__, error.code)
        else:
            log.error("%s: %s", source.__name__, described(error))

    def refused(self, method: str, params: Any) -> None:
        """A notification had parameters that are not valid; the text of a document may differ from now on."""
        if method not in (types.TEXT_DOCUMENT_DID_CHANGE, types.TEXT_DOCUMENT_DID_OPEN):
            return
        uri = self.spelling(uri_in(params) or "")
        if uri not in self.documents:
            return
        if method == types.TEXT_DOCUMENT_DID_CHANGE:
            self.lose_change(uri)
            return
        self.close(uri)
        self.scopes.notify_once("a document could not be read; open it again to get completions")

    def _notify_problem(self, problem: str) -> None:
        # the problem may have a name that the client made, as that of a language
        log.warning("a setting is invalid or not yet known; see the editor's log")
        self._log_to_user(problem)

    def _log_to_user(self, text: str) -> None:
        self.window_log_message(
            types.LogMessageParams(types.MessageType.Warning, f"Warmline: {text}")
        )

    def trace(self, event: str, **what: Any) -> None:
        """Tells a client that asked to follow what is asked of the engine and what is answered; never any text."""
        level = self.protocol.trace
        if level == types.TraceValue.Off:
            return
        verbose = json.dumps(what) if level == types.TraceValue.Verbose else None
        self.log_trace(types.LogTraceParams(event, verbose))

    def notify(self, name: str, params: dict[str, Any]) -> None:
        """Sends `warmline/NAME` to a client that asked for it."""
        if name in self.announced and self.is_connected:
            self.protocol.notify(f"warmline/{name}", params)

    def _notify_better(self, uri: str, offset: int) -> None:
        document = self.documents.get(uri)
        if document is not None:
            position = document.position_at(offset)
            self.notify(
                "better",
                {"uri": uri, "version": document.client_version,
                 "position": {"line": position.line, "character": position.character}},
            )  # fmt: skip

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs work whose result nobody waits for."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("in the background: %s", described(error))

    @property
    def is_connected(self) -> bool:
        return self.protocol.writer is not None

    @property
    def encoding(self) -> Encoding:
        found = self.protocol.server_capabilities.position_encoding
        return "utf-16" if found is None else str(getattr(found, "value", found))  # type: ignore[return-value]

    def adjust(self, capabilities: types.ServerCapabilities) -> None:
        """Leaves out what is registered later, when there is an engine."""
        if self.registrations.is_late:
            capabilities.inline_completion_provider = None

    # ---- the engine

    def _make_engine(self) -> EngineClient:
        return EngineClient(
            self.scopes.window,
            self._openings,
            self._engine_changed,
            self.reporter.encoded,
            self._command,
        )

    def _engine_changed(self, state: EngineState) -> None:
        if state.state in ("ready", "failed"):
            self.in_background(self.registrations.completions(state.state == "ready"))
        if state.state == "ready":
            self._sync_all()
        self.reporter.engine_changed(state)

    def _openings(self) -> Iterator[wire.Open]:
        """Documents that are served, the one touched last first; each as it is when it is taken."""
        for uri in list(reversed(self.documents)):
            document = self.documents.get(uri)
            if document is not None and self.refusal(document) is None:
                yield self._opening(document)

    def _opening(self, d: Document) -> wire.Open:
        cursor = self._cursors.get(d.uri)
        at = None if cursor is None else min(cursor, len(d.text))
        settings, place = self.settings_of(d.uri), self._in_workspace(d.uri)
        if place is None or not settings.retrieval or self.engine.is_remote:
            return wire.Open(d.uri, d.language, d.version, d.text, at)
        globs = settings.excluded_globs
        return wire.Open(d.uri, d.language, d.version, d.text, at, place.root, place.path, globs)

    def _in_workspace(self, uri: str) -> InWorkspace | None:
        return locate(uri, self.workspace.folders)

    async def _apply_settings(self, scopes: set[str | None]) -> None:
        """Puts settings in force: another engine where they ask for one, none where nothing is completed.

        Cost: only documents whose own settings changed are looked at, unless the window's did.
        """
        async with self._engine_changes:
            if self.engine.settings.engine_options() != self.scopes.window.engine_options():
                await self._replace_engine()
            is_wanted = self.scopes.is_enabled_somewhere
            if is_wanted and not self.engine.is_started:
                self.engine.start()
            elif not is_wanted and self.engine.is_started:
                await self._replace_engine()
        for uri in list(self.documents) if None in scopes else sorted(filter(None, scopes)):
            document = self.documents.get(str(uri))
            if document is not None:
                self._sync(document)
        self.reporter.refresh()

    async def restart_engine(self) -> None:
        """Ends the engine, for all windows, and starts another."""
        async with self._engine_changes:
            await self.engine.end()
            await self._replace_engine()
        await self._apply_settings({None})

    async def _replace_engine(self) -> None:
        await self.engine.stop()
        self.engine = self.completer.engine = self._make_engine()

    # ---- settings

    def settings_of(self, uri: str) -> Settings:
        """The settings in force for a document, or the window's."""
        return self.scopes.of(uri) or self.scopes.window

    async def pull_settings(self) -> None:
        """Asks for all settings anew."""
        await self.scopes.pull([None, *self.documents])

    def refusal(self, document: Document) -> Refusal | None:
        """Why the engine gets nothing of a document; None where it does."""
        place, model = self._in_workspace(document.uri), self.engine.model
        settings = self.scopes.of(document.uri)
        return refusal(
            document, settings, place.root if place else "", model.languages if model else None
        )

    # ---- documents

    def _sync_all(self) -> None:
        for document in self.documents.values():
            self._sync(document)

    def _sync(self, document: Document) -> None:
        """Gives the engine a document, or takes it away, as the settings have it."""
        is_served, is_there = self.refusal(document) is None, self.engine.has(document.uri)
        if is_served:
            opening = self._opening(document)
            if not is_there or self.engine.is_shown_otherwise(opening):
                self.engine.send(opening)
        elif is_there and not is_served:
            self.engine.send(wire.Close(document.uri))

    def spelling(self, uri: str) -> str:
        """The client's own spelling of an open document's URI, of which it may use several."""
        return self._spellings.get(same_uri(uri), uri)

    def open(self, item: types.TextDocumentItem) -> None:
        """Takes a document; those of other schemes than SCHEMES are not served."""
        if not is_ours(item.uri):
            return
        self.close(item.uri)
        self._spellings[same_uri(item.uri)] = item.uri
        language = clean(item.language_id)
        document = Document.open(item.uri, language, item.version, item.text, self.encoding)
        self.documents[item.uri] = document
        self.scopes.add(item.uri)
        if self.scopes.of(item.uri) is None:
            self.in_background(self.scopes.pull_opened())
        self._sync(document)
        self.reporter.guess_at(item.uri)

    def change(self, params: types.DidChangeTextDocumentParams) -> None:
        """Applies all changes of a notification. Where they do not fit, the text is unknown until it is sent whole.

        Raises: DocumentSyncError, when the document is not open.
        """
        uri = self.spelling(params.text_document.uri)
        if not is_ours(uri):
            return
        before = self.documents.get(uri)
        if before is None:
            raise DocumentSyncError("change of a document that is not open")
        version = params.text_document.version
        if version <= before.client_version and ("", "versions") not in self._notified:
            self._notified.add(("", "versions"))
            log.warning("the editor repeats document versions")
            self._log_to_user(
                "the editor repeats document versions; Warmline applies the changes anyway"
            )
        try:
            document, edits = before.changed(version, params.content_changes)
        except DocumentSyncError as error:
            self._lose(before, version, str(error))
            return
        if document.is_unfollowed and not before.is_unfollowed:
            self._warn_once(
                uri, "unfollowed",
                "is too large for Warmline. If it becomes smaller, close it and open it again to get completions.",
            )  # fmt: skip
        self._take(before, document, edits)

    def lose_change(self, uri: str) -> None:
        """Notes that a change of a document could not be read: its text is unknown from now on."""
        document = self.documents.get(self.spelling(uri))
        if document is not None:
            self._lose(document, document.client_version, "a change that cannot be read")

    def _lose(self, before: Document, version: int, problem: str) -> None:
        if not before.is_out_of_sync:
            log.warning("out of sync with the client: %s", problem)
        self._warn_once(
            before.uri, "out of sync",
            "is out of sync with the editor. Close it and open it again to get completions.",
        )  # fmt: skip
        self._take(before, before.out_of_sync(version), [])

    def _warn_once(self, uri: str, kind: str, problem: str) -> None:
        """Shows the user a problem of an open document, each kind once."""
        if (uri, kind) not in self._notified:
            self._notified.add((uri, kind))
            name = uri.rpartition("/")[2]
            message = f"Warmline: {name} {problem}"
            self.window_show_message(types.ShowMessageParams(types.MessageType.Warning, message))

    def _take(self, before: Document, document: Document, edits: list[Edit]) -> None:
        """Puts a document in the place of the one before it."""
        uri = document.uri
        del self.documents[uri]
        self.documents[uri] = document
        if edits:
            self._cursors[uri] = edits[-1].start + len(edits[-1].text)
        if before.is_servable and document.is_servable:
            self.completer.edited(document, edits, self.settings_of(uri))
        else:
            self.completer.closed(uri)
        if self.engine.has(uri) and self.refusal(document) is None:
            sent = tuple(wire.TextEdit(e.start, e.end, e.text) for e in edits)
            self.engine.send(wire.Edit(uri, document.version, sent))
        else:
            self._sync(document)
        self.reporter.guess_at(uri)

    def move_cursor(self, uri: str, position: types.Position) -> None:
        """Tells the engine where to read first."""
        uri = self.spelling(uri)
        document = self.documents.get(uri)
        if document is None:
            if is_ours(uri):
                log.warning("a cursor is ignored: it is in no open document")
            return
        offset = self._cursors[uri] = document.offset_at(position)
        self.engine.send(wire.MoveCursor(uri, document.version, offset))
        self.reporter.look_at(uri)

    def files_changed(self, uris: list[str]) -> None:
        """Tells the engine of files that changed on disk; one on another machine has no business with them."""
        if self.engine.is_remote:
            return
        by_root: dict[str, list[str]] = {}
        for uri in uris:
            place = self._in_workspace(uri)
            if place is not None:
                by_root.setdefault(place.root, []).append(place.path)
        for root, paths in by_root.items():
            # another .gitignore may concern any file
            is_any = any(path.endswith(".gitignore") for path in paths)
            self.engine.notify(wire.FilesChanged(root, () if is_any else tuple(paths)))

    async def context_of(self, uri: str) -> dict[str, Any] | None:
        """What the model is shown of a document and of other files; None where the engine has nothing of it."""
        context = await self.engine.ask_context(uri)
        if context is None:
            return None
        items = [
            {"path": i.path, "line": i.line, "name": i.name, "why": i.why, "text": i.text, "nTokens": i.n_tokens}
            for i in context.items
        ]  # fmt: skip
        return {
            "state": context.state,
            "nTokens": context.n_tokens,
            "nFresh": context.n_fresh,
            "items": items,
        }

    def close(self, uri: str) -> None:
        """Forgets a document."""
        uri = self._spellings.pop(same_uri(uri), uri)
        if self.documents.pop(uri, None) is not None:
            self._notified = {(of, kind) for of, kind in self._notified if of != uri}
            self.engine.send(wire.Close(uri))
            self.completer.closed(uri)
            self.scopes.remove(uri)
            self.reporter.closed(uri)
            self._cursors.pop(uri, None)


def is_ours(uri: str) -> bool:
    """Whether documents of this URI are served; others belong to notebooks, diffs, outputs and the like."""
    return scheme_of(uri) in SCHEMES and clean(uri) == uri
