"""The server's state for its client: open documents, settings, and the engine they use.

Over 300 lines, because most changes of one of the three affect the other two.
"""

from __future__ import annotations

import asyncio
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
from warmline_lsp.documents.uris import scheme_of
from warmline_lsp.documents.workspace import InWorkspace, locate
from warmline_lsp.engine.engine_client import EngineClient
from warmline_lsp.engine.engine_state import EngineState, Phase
from warmline_lsp.engine.starting import Command, engine_command
from warmline_lsp.errors import DocumentSyncError
from warmline_lsp.settings.scopes import Scopes
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire
from warmline_protocol.exclusion import without_root

from .arguments import uri_in
from .client_messages import ClientMessages
from .eligibility import Refusal, refusal
from .open_documents import OpenDocuments
from .protocol import Protocol, described
from .registration import SCHEMES, Registrations
from .status import Reporter
from .transport import StreamServer

if TYPE_CHECKING:
    from pygls.server import ServerErrors

log = logging.getLogger(__name__)

NAME, VERSION = "warmline", "0.2.0"


class WarmlineServer(StreamServer):
    """Keeps documents, settings and engine in step; `features.py` maps LSP's methods to it."""

    def __init__(self, command: Command = engine_command) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            NAME,
            VERSION,
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            protocol_cls=Protocol,
        )
        self.documents = OpenDocuments()
        self.messages = ClientMessages(self)
        self.scopes = Scopes(self.messages.log_setting_problem, self._apply_settings)
        self.statistics = UsageStatistics()
        self.reporter = Reporter(self, self.messages)
        self.registrations = Registrations(self)
        self._command = command
        self._tasks: set[asyncio.Task[None]] = set()
        self._engine_changes = asyncio.Lock()
        self.engine = self._make_engine()
        self.completer = Completer(
            self.engine, self.statistics, self.messages.trace, notify_better=self._notify_better
        )

    # ---- errors and background work

    def report_server_error(self, error: Exception, source: ServerErrors) -> None:
        """Logs an error, where pygls would show a dialogue."""
        # without the error's message, which may contain values from the client
        if isinstance(error, JsonRpcException):
            log.warning("%s: %s %d", source.__name__, type(error).__name__, error.code)
        else:
            log.error("%s: %s", source.__name__, described(error))

    def refused(self, method: str, params: Any) -> None:
        """Handles a notification with invalid parameters, after which a document's text may be unknown."""
        if method not in (types.TEXT_DOCUMENT_DID_CHANGE, types.TEXT_DOCUMENT_DID_OPEN):
            return
        uri = self.documents.spelling(uri_in(params) or "")
        if uri not in self.documents:
            return
        if method == types.TEXT_DOCUMENT_DID_CHANGE:
            self.lose_change(uri)
            return
        self.close(uri)
        self.scopes.notify_once("a document could not be read; open it again to get completions")

    def _notify_better(self, uri: str, offset: int) -> None:
        document = self.documents.get(uri)
        if document is not None:
            position = document.position_at(offset)
            self.messages.notify(
                "better",
                {"uri": uri, "version": document.client_version,
                 "position": {"line": position.line, "character": position.character}},
            )  # fmt: skip

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs work without waiting for it, and logs its error."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("in the background: %s", described(error))

    @property
    def encoding(self) -> Encoding:
        found = self.protocol.server_capabilities.position_encoding
        return "utf-16" if found is None else str(getattr(found, "value", found))  # type: ignore[return-value]

    def adjust(self, capabilities: types.ServerCapabilities) -> None:
        """Removes capabilities that are registered later, when the engine is ready."""
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
            on_too_large=self._too_large,
        )

    def _too_large(self, uri: str) -> None:
        """Warns the user that a document does not fit into a frame for the engine."""
        self.messages.warn(uri, "too large", "is too large for completions.")
        self.reporter.refresh()

    def _engine_changed(self, state: EngineState) -> None:
        if state.state in (Phase.READY, Phase.FAILED):
            self.in_background(self.registrations.completions(state.state is Phase.READY))
        if state.state is Phase.READY:
            self._sync_all()
        self.reporter.engine_changed(state)

    def _openings(self) -> Iterator[wire.Open]:
        """Served documents, the one changed last first, each in its state at the time it is yielded."""
        for uri in self.documents.last_changed_first():
            document = self.documents.get(uri)
            if document is not None and self.refusal(document) is None:
                yield self._opening(document)

    def _opening(self, document: Document) -> wire.Open:
        uri, settings = document.uri, self.settings_of(document.uri)
        root, path, excluded = "", "", settings.excluded_globs
        located = self._in_workspace(uri)
        if located is not None and settings.retrieval and not self.engine.is_remote:
            root, path = located.root, located.path
        elif located is not None:
            # the globs still decide which other documents may appear in its completions
            excluded = without_root(excluded, located.root)
        cursor = self.documents.cursor(uri)
        return wire.Open(
            uri, document.language, document.version, document.text, cursor, root, path, excluded
        )

    def _in_workspace(self, uri: str) -> InWorkspace | None:
        return locate(uri, self.workspace.folders)

    async def _apply_settings(self, scopes: set[str | None]) -> None:
        """Applies changed settings: restarts the engine if its options changed, ends it if completions are off.

        Cost: checks only documents whose settings changed, all of them if the window's did.
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
        """Ends the engine, for all windows, and starts a new one."""
        async with self._engine_changes:
            await self.engine.end()
            await self._replace_engine()
        await self._apply_settings({None})

    async def _replace_engine(self) -> None:
        await self.engine.stop()
        self.engine = self.completer.engine = self._make_engine()

    # ---- settings

    def settings_of(self, uri: str) -> Settings:
        """The settings of a document; the window's while its own are unknown."""
        return self.scopes.of(uri) or self.scopes.window

    async def pull_settings(self) -> None:
        """Requests all settings from the client again."""
        await self.scopes.pull([None, *self.documents])

    def refusal(self, document: Document) -> Refusal | None:
        """Why a document is not served; None if it is."""
        located, model = self._in_workspace(document.uri), self.engine.model
        settings = self.scopes.of(document.uri)
        return refusal(
            document, settings, located.root if located else "", model.languages if model else None
        )

    # ---- documents

    def _sync_all(self) -> None:
        for document in self.documents.values():
            self._sync(document)

    def _sync(self, document: Document) -> None:
        """Opens or closes a document in the engine, so that the engine has exactly the served ones."""
        is_open = self.engine.has(document.uri)
        if self.refusal(document) is None:
            opening = self._opening(document)
            if not is_open or self.engine.is_shown_otherwise(opening):
                self.engine.send(opening)
        elif is_open:
            self.engine.send(wire.Close(document.uri))

    def open(self, item: types.TextDocumentItem) -> None:
        """Opens a document. URIs of other schemes are ignored."""
        if not is_supported(item.uri):
            return
        self.close(item.uri)
        language = clean(item.language_id)
        document = Document.open(item.uri, language, item.version, item.text, self.encoding)
        self.documents.put(document)
        self.scopes.add(item.uri)
        if self.scopes.of(item.uri) is None:
            self.in_background(self.scopes.pull_opened())
        self._sync(document)
        self.reporter.guess_current(item.uri)

    def change(self, params: types.DidChangeTextDocumentParams) -> None:
        """Applies all changes of a notification. If they do not fit, the text is unknown until it is sent whole.

        Raises: DocumentSyncError if the document is not open.
        """
        uri = self.documents.spelling(params.text_document.uri)
        if not is_supported(uri):
            return
        before = self.documents.get(uri)
        if before is None:
            raise DocumentSyncError("a change of a document that is not open")
        version = params.text_document.version
        if version <= before.client_version:
            self.messages.log_repeated_versions()
        try:
            document, edits = before.changed(version, params.content_changes)
        except DocumentSyncError as error:
            self._lose(before, version, str(error))
            return
        if document.is_unfollowed and not before.is_unfollowed:
            self.messages.warn(
                uri, "unfollowed",
                "is too large for Warmline. If it becomes smaller, close it and open it again to get completions.",
            )  # fmt: skip
        self._replace(before, document, edits)

    def lose_change(self, uri: str) -> None:
        """Marks a document as out of sync after a change that could not be read."""
        document = self.documents.get(self.documents.spelling(uri))
        if document is not None:
            self._lose(document, document.client_version, "a change that cannot be read")

    def _lose(self, before: Document, version: int, problem: str) -> None:
        if not before.is_out_of_sync:
            log.warning("out of sync with the client: %s", problem)
        self.messages.warn(
            before.uri, "out of sync",
            "is out of sync with the editor. Close it and open it again to get completions.",
        )  # fmt: skip
        self._replace(before, before.out_of_sync(version), [])

    def _replace(self, before: Document, document: Document, edits: list[Edit]) -> None:
        """Replaces a document by its next version, also in the engine."""
        uri = document.uri
        cursor = edits[-1].start + len(edits[-1].text) if edits else None
        self.documents.put(document, cursor)
        if before.is_servable and document.is_servable:
            self.completer.edited(document, edits, self.settings_of(uri))
        else:
            self.completer.closed(uri)
        if self.engine.has(uri) and self.refusal(document) is None:
            sent = tuple(wire.TextEdit(e.start, e.end, e.text) for e in edits)
            self.engine.send(wire.Edit(uri, document.version, sent))
        else:
            self._sync(document)
        self.reporter.guess_current(uri)

    def move_cursor(self, uri: str, position: types.Position) -> None:
        """Notes the cursor, around which the engine reads first."""
        uri = self.documents.spelling(uri)
        document = self.documents.get(uri)
        if document is None:
            if is_supported(uri):
                log.warning("a cursor is ignored: its document is not open")
            return
        offset = document.offset_at(position)
        self.documents.move_cursor(uri, offset)
        self.engine.send(wire.MoveCursor(uri, document.version, offset))
        self.reporter.set_current(uri)

    def files_changed(self, uris: list[str]) -> None:
        """Notifies a local engine of files that changed on disk. A remote engine reads no files."""
        if self.engine.is_remote:
            return
        by_root: dict[str, list[str]] = {}
        for uri in uris:
            located = self._in_workspace(uri)
            if located is not None:
                by_root.setdefault(located.root, []).append(located.path)
        for root, paths in by_root.items():
            # a .gitignore may affect any file
            is_any = any(path.endswith(".gitignore") for path in paths)
            self.engine.notify(wire.FilesChanged(root, () if is_any else tuple(paths)))

    async def context_of(self, uri: str) -> dict[str, Any] | None:
        """What the model sees of a document and of other files; None if the engine does not have the document."""
        context = await self.engine.ask_context(uri)
        if context is None:
            return None
        items = [
            {"path": item.path, "line": item.line, "name": item.name, "why": item.why,
             "text": item.text, "nTokens": item.n_tokens}
            for item in context.items
        ]  # fmt: skip
        return {
            "state": context.state,
            "nTokens": context.n_tokens,
            "nFresh": context.n_fresh,
            "items": items,
        }

    def close(self, uri: str) -> None:
        """Forgets a document."""
        closed = self.documents.remove(uri)
        if closed is not None:
            self.messages.forget(closed)
            self.engine.send(wire.Close(closed))
            self.completer.closed(closed)
            self.scopes.remove(closed)
            self.reporter.closed(closed)


def is_supported(uri: str) -> bool:
    """Whether documents of this URI are served. Others belong to notebooks, diffs, output panels and the like."""
    return scheme_of(uri) in SCHEMES and clean(uri) == uri
