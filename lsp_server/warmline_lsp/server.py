"""The language server: LSP on one side, the completer and the engine client on the other."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer

from warmline_engine import wire

from .completer import MOST_TEXT, Completer, Selected
from .documents import Document, Edit, Encoding
from .engine_client import EngineClient, EngineState
from .engine_process import Command, engine_command
from .errors import DocumentError
from .protocol import Protocol
from .settings import Settings, resolve
from .status import Reporter

if TYPE_CHECKING:
    from pygls.server import ServerErrors

log = logging.getLogger(__name__)

NAME, VERSION = "warmline", "0.1.0"
ACCEPTED_COMMAND = "warmline.didAcceptCompletionItem"


class WarmlineServer(LanguageServer):
    """State of one client: documents by URI, settings, the engine it uses."""

    def __init__(self, command: Command = engine_command) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            NAME,
            VERSION,
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            protocol_cls=Protocol,
        )
        self.documents: dict[str, Document] = {}
        self.settings = Settings()
        self.reporter = Reporter(self)
        self._command = command
        self.engine = self._make_engine()
        self.completer = Completer(self.engine, self.settings)
        self._told: set[str] = set()

    def report_server_error(self, error: Exception, source: ServerErrors) -> None:
        """Errors go to the log, never to a dialogue."""
        log.error("%s: %s", source.__name__, type(error).__name__, exc_info=error)

    @property
    def encoding(self) -> Encoding:
        found = self.protocol.server_capabilities.position_encoding
        return "utf-16" if found is None else str(getattr(found, "value", found))  # type: ignore[return-value]

    # ---- the engine

    def _make_engine(self) -> EngineClient:
        return EngineClient(
            self.settings, self._openings, self._engine_changed, self._encoded, self._command
        )

    def _engine_changed(self, state: EngineState) -> None:
        self.reporter.engine_changed(state)

    def _encoded(self, frame: wire.Encoded) -> None:
        self.reporter.encoded(frame)

    def _openings(self) -> list[wire.Open]:
        return [_opening(d) for d in self.documents.values() if self.refusal(d) is None]

    def refusal(self, document: Document) -> str | None:
        """Why the engine gets nothing of a document, None where it does."""
        settings = self.settings
        if not settings.enable:
            return "off"
        if settings.is_excluded(document.uri):
            return "excluded"
        if len(document.text) > MOST_TEXT:
            return "too large"
        if _is_binary(document.text):
            return "binary"
        return None if self._serves(document.language) else "language"

    def _serves(self, language: str) -> bool:
        said = self.settings.languages.get(language)
        if said is not None:
            return said
        model = self.engine.state.model
        return model is None or not model.languages or language in model.languages

    async def use(self, options: object) -> None:
        """Puts settings in force; another engine is used where they ask for one."""
        settings, problems = resolve(options)
        for problem in problems:
            if problem not in self._told:
                self._told.add(problem)
                log.warning("%s", problem)
                self.window_log_message(
                    types.LogMessageParams(types.MessageType.Warning, f"Warmline: {problem}")
                )
        before, self.settings = self.settings, settings
        self.completer.settings = settings
        if before.engine_options() != settings.engine_options():
            await self.restart_engine()
        elif before != settings:
            for document in self.documents.values():
                self.sync(document)
            self.reporter.refresh()

    async def restart_engine(self) -> None:
        """Leaves the present engine and uses the one the settings ask for."""
        await self.engine.stop()
        statistics = self.completer.statistics
        self.engine = self._make_engine()
        self.completer = Completer(self.engine, self.settings)
        self.completer.statistics = statistics
        self.engine.start()

    # ---- documents

    def sync(self, document: Document) -> None:
        """Gives the engine a document as it is, or takes it away."""
        allowed = self.refusal(document) is None
        self.engine.send(_opening(document) if allowed else wire.Close(document.uri))

    def open(self, item: types.TextDocumentItem) -> None:
        document = Document.open(item.uri, item.language_id, item.version, item.text, self.encoding)
        self.documents[item.uri] = document
        if self.refusal(document) is None:
            self.engine.send(_opening(document))
        self.reporter.look_at(item.uri)

    def change(self, params: types.DidChangeTextDocumentParams) -> None:
        """Applies all changes of a notification, or none.

        Raises: DocumentError.
        """
        identifier = params.text_document
        before = self.documents.get(identifier.uri)
        if before is None:
            raise DocumentError("a change of a document that is not open")
        if identifier.version <= before.version:
            raise DocumentError(f"version {identifier.version} after version {before.version}")
        document, edits = before, list[Edit]()
        for change in params.content_changes:
            for edit in document.edit_of(change):
                document = document.apply(edit)
                edits.append(edit)
        document = Document(
            document.uri, document.language, identifier.version, document.text,
            document.line_starts, document.encoding,
        )  # fmt: skip
        self.documents[document.uri] = document
        self.completer.edited(document.uri, edits)
        if self.refusal(document) is not None:
            if self.refusal(before) is None:
                self.engine.send(wire.Close(document.uri))
        elif self.refusal(before) is not None:
            self.engine.send(_opening(document))
        else:
            sent = tuple(wire.TextEdit(e.start, e.end, e.text) for e in edits)
            self.engine.send(wire.Edit(document.uri, document.version, sent))
        self.reporter.look_at(document.uri)

    def close(self, uri: str) -> None:
        if self.documents.pop(uri, None) is not None:
            self.engine.send(wire.Close(uri))
            self.completer.closed(uri)


def _opening(document: Document) -> wire.Open:
    return wire.Open(document.uri, document.language, document.version, document.text)


def _is_binary(text: str) -> bool:
    head = text[:8000]
    n_odd = sum(character in "\0\ufffd" for character in head)
    return len(head) < 20 * n_odd


def make_server(command: Command = engine_command) -> WarmlineServer:
    """A server with all its features."""
    server = WarmlineServer(command)
    _register_lifecycle(server)
    _register_documents(server)
    _register_completion(server)
    _register_own(server)
    return server


def _register_lifecycle(server: WarmlineServer) -> None:
    @server.feature(types.INITIALIZE)
    def _(params: types.InitializeParams) -> None:
        settings, _ = resolve(params.initialization_options)
        server.settings = server.completer.settings = settings
        server.engine = server._make_engine()  # pyright: ignore[reportPrivateUsage]
        server.completer = Completer(server.engine, settings)

    @server.feature(types.INITIALIZED)
    async def _(params: types.InitializedParams) -> None:
        server.engine.start()
        capabilities = server.client_capabilities
        if capabilities.workspace and capabilities.workspace.configuration:
            await _pull_settings(server)

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def _(params: types.DidChangeConfigurationParams) -> None:
        sent: Any = params.settings
        if isinstance(sent, dict):
            await server.use(sent.get("warmline", sent))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        else:
            await _pull_settings(server)

    @server.feature(types.SHUTDOWN)
    async def _(params: None) -> None:
        await server.engine.stop()


async def _pull_settings(server: WarmlineServer) -> None:
    asked = types.ConfigurationParams([types.ConfigurationItem(section="warmline")])
    answers = await server.workspace_configuration_async(asked)
    if answers and answers[0]:
        await server.use(answers[0])


def _register_documents(server: WarmlineServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def _(params: types.DidOpenTextDocumentParams) -> None:
        server.open(params.text_document)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def _(params: types.DidChangeTextDocumentParams) -> None:
        try:
            server.change(params)
        except DocumentError as error:
            log.warning("a change is ignored: %s", error)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def _(params: types.DidCloseTextDocumentParams) -> None:
        server.close(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def _(params: types.DidSaveTextDocumentParams) -> None:
        """Saving changes no text."""

    @server.feature("warmline/didMoveCursor")
    def _(params: Any) -> None:
        try:
            uri, line, character = (
                params.textDocument.uri,
                params.position.line,
                params.position.character,
            )
            position = types.Position(int(line), int(character))
        except (AttributeError, TypeError, ValueError):
            log.warning("a cursor is ignored: expected textDocument.uri and position")
            return
        document = server.documents.get(uri)
        if document is None or min(position.line, position.character) < 0:
            log.warning("a cursor is ignored: it is in no open document")
            return
        offset = document.offset_at(position)
        server.engine.send(wire.MoveCursor(uri, document.version, offset))
        server.reporter.look_at(uri)


def _register_completion(server: WarmlineServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def _(params: types.InlineCompletionParams) -> types.InlineCompletionList:
        document = server.documents.get(params.text_document.uri)
        if document is None:
            raise JsonRpcInvalidParams("the document is not open")
        if server.refusal(document) is not None:
            return types.InlineCompletionList([])
        offset = document.offset_at(params.position)
        automatic = params.context.trigger_kind == types.InlineCompletionTriggerKind.Automatic
        info, selected = params.context.selected_completion_info, None
        where, lead = types.Range(params.position, params.position), ""
        if info is not None:
            typed = document.text[document.offset_at(info.range.start) : offset]
            selected, where, lead = Selected(typed, info.text), info.range, typed
        texts = await server.completer.complete(document, offset, automatic, selected)
        return types.InlineCompletionList(
            [
                types.InlineCompletionItem(
                    insert_text=lead + text,
                    range=where,
                    command=types.Command("Accepted", ACCEPTED_COMMAND, arguments=[document.uri]),
                )
                for text in texts
            ]
        )

    @server.command(ACCEPTED_COMMAND)
    def _(*_: Any) -> None:
        """Acceptance is counted from the edit itself, once, whatever the client sends."""


def _register_own(server: WarmlineServer) -> None:
    # notices of other clients' conventions; what they tell is seen from the edits
    def heard(params: Any) -> None:
        """What it tells is counted from the edits."""

    for method in ("textDocument/didShowCompletion", "textDocument/didPartiallyAcceptCompletion"):
        server.feature(method)(heard)

    @server.feature("warmline/restart")
    async def _(params: Any) -> None:
        await server.restart_engine()

    @server.feature("warmline/statistics")
    def _(params: Any) -> dict[str, Any]:
        return server.reporter.statistics()

    @server.feature("warmline/debugInformation")
    async def _(params: Any) -> dict[str, Any]:
        return await server.reporter.debug_information()
