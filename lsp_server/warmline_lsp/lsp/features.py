"""Handlers of LSP methods and commands. Each calls the state in `server.py`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from warmline_lsp.completion.query import Selected, SuggestionQuery
from warmline_lsp.documents.documents import Document
from warmline_lsp.documents.text_units import code_points
from warmline_lsp.engine.starting import Command, engine_command
from warmline_lsp.errors import DocumentSyncError

from .arguments import (
    announced,
    document_of,
    document_position_of,
    length_in,
    member,
    no_arguments,
    position_in,
    suggestion_id_of,
    uri_in,
)
from .server import WarmlineServer, is_supported

log = logging.getLogger(__name__)

# the client runs this command after accepting an item, with the item's id
ACCEPTED_COMMAND = "warmline.didAcceptCompletionItem"


def make_server(command: Command = engine_command) -> WarmlineServer:
    """A server with all handlers registered."""
    server = WarmlineServer(command)
    _register_lifecycle(server)
    _register_documents(server)
    _register_completion(server)
    _register_notices(server)
    _register_commands(server)
    return server


def _register_lifecycle(server: WarmlineServer) -> None:
    @server.feature(types.INITIALIZE)
    def _(params: types.InitializeParams) -> None:
        server.protocol.trace = params.trace or types.TraceValue.Off
        server.messages.announced = announced(params.capabilities)
        server.scopes.push(params.initialization_options)

    @server.feature(types.INITIALIZED)
    async def _(params: types.InitializedParams) -> None:
        workspace = server.client_capabilities.workspace
        if workspace and workspace.configuration:
            server.scopes.use_pull(pull)
            # a client that never replies must not keep the engine from starting
            server.in_background(server.registrations.settings())
        server.in_background(server.registrations.files())
        await server.pull_settings()  # which starts the engine

    async def pull(scopes: list[str | None]) -> object:
        items = [types.ConfigurationItem(scope, "warmline") for scope in scopes]
        return await server.workspace_configuration_async(types.ConfigurationParams(items))

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def _(params: types.DidChangeConfigurationParams) -> None:
        # null and {} only mean that something changed
        if params.settings not in (None, {}):
            server.scopes.push(params.settings)
        await server.pull_settings()

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    async def _(params: types.DidChangeWorkspaceFoldersParams) -> None:
        """Open documents may have other settings in a new folder."""
        await server.pull_settings()

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def _(params: types.DidChangeWatchedFilesParams) -> None:
        server.files_changed([change.uri for change in params.changes])

    @server.feature(types.SHUTDOWN)
    async def _(params: None) -> None:
        await server.engine.stop()


def _register_documents(server: WarmlineServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def _(params: types.DidOpenTextDocumentParams) -> None:
        server.open(params.text_document)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def _(params: types.DidChangeTextDocumentParams) -> None:
        try:
            server.change(params)
        except DocumentSyncError as error:
            log.warning("a change is ignored: %s", error)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def _(params: types.DidCloseTextDocumentParams) -> None:
        server.close(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def _(params: types.DidSaveTextDocumentParams) -> None:
        """Does nothing: saving changes no text."""


def _register_completion(server: WarmlineServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def _(params: types.InlineCompletionParams) -> types.InlineCompletionList:
        uri = server.documents.spelling(params.text_document.uri)
        document = server.documents.get(uri)
        if document is None:
            if is_supported(uri):
                raise JsonRpcInvalidParams("the document is not open")
            return types.InlineCompletionList([])
        await server.scopes.known(uri)
        # an answer is valid for one version only
        is_current = server.documents.get(uri) is document
        if not is_current or server.refusal(document) is not None:
            return types.InlineCompletionList([])
        return await _complete(server, document, params)


async def _complete(
    server: WarmlineServer, document: Document, params: types.InlineCompletionParams
) -> types.InlineCompletionList:
    offset, context = document.offset_at(params.position), params.context
    info, selected = context.selected_completion_info, None
    where = types.Range(params.position, params.position)
    if info is not None:
        start, end = document.offset_at(info.range.start), document.offset_at(info.range.end)
        selected, where = Selected(start, end, info.text), info.range
    is_automatic = context.trigger_kind == types.InlineCompletionTriggerKind.Automatic
    query = SuggestionQuery(
        document, offset, server.settings_of(document.uri), is_automatic, selected
    )
    with server.reporter.working():
        items = await server.completer.complete(query)
    return types.InlineCompletionList(
        [
            types.InlineCompletionItem(
                insert_text=item.text,
                range=where,
                command=types.Command("Accepted", ACCEPTED_COMMAND, arguments=[item.id]),
            )
            for item in items
        ]
    )


def _register_notices(server: WarmlineServer) -> None:
    """Notifications: the cursor, and those of Copilot's language server."""

    @server.feature("warmline/didMoveCursor")
    def _(params: Any) -> None:
        uri, position = uri_in(params), position_in(member(params, "position"))
        if uri is None or position is None:
            log.warning("a cursor is ignored: expected textDocument.uri and position")
            return
        server.move_cursor(uri, position)

    @server.feature("textDocument/didFocus")
    def _(params: Any) -> None:
        uri = server.documents.spelling(uri_in(params) or "")
        if uri in server.documents:
            server.reporter.set_current(uri)

    @server.feature("textDocument/didShowCompletion")
    def _(params: Any) -> None:
        server.statistics.shown(suggestion_id_of(params))

    @server.feature("textDocument/didPartiallyAcceptCompletion")
    def _(params: Any) -> None:
        suggestion_id, length = suggestion_id_of(params), length_in(params)
        if length is not None:
            n_characters = code_points(server.statistics.given(suggestion_id), length, "utf-16")
            server.statistics.partly_accepted(suggestion_id, n_characters)

    @server.command(ACCEPTED_COMMAND)
    def _(*arguments: Any) -> None:
        """Counts an accept once: usually the edit was counted already, unless the client changed the text."""
        if len(arguments) != 1 or not isinstance(arguments[0], str):
            raise JsonRpcInvalidParams("expected the id of a completion item")
        server.statistics.accepted(arguments[0])


def _register_commands(server: WarmlineServer) -> None:
    """Registers each command twice: for `workspace/executeCommand`, and as a request `warmline/…`."""

    async def restart(*arguments: Any) -> None:
        no_arguments(arguments)
        await server.restart_engine()

    def statistics(*arguments: Any) -> dict[str, Any]:
        no_arguments(arguments)
        return server.reporter.statistics()

    async def debug_information(*arguments: Any) -> dict[str, Any]:
        no_arguments(arguments)
        return await server.reporter.debug_information()

    async def context(*arguments: Any) -> dict[str, Any] | None:
        """The context of a document; without an argument, of the one that was changed last."""
        uri = document_of(arguments)
        if uri is None:
            uri = next(iter(server.documents.last_changed_first()), None)
        return None if uri is None else await server.context_of(server.documents.spelling(uri))

    async def comment_first(*arguments: Any) -> str:
        """Suggests a comment and code at a position of a document."""
        uri, position = document_position_of(arguments)
        document = server.documents.get(server.documents.spelling(uri))
        if document is None:
            raise JsonRpcInvalidParams("the document is not open")
        await server.scopes.known(document.uri)
        if server.documents.get(document.uri) is not document or server.refusal(document):
            return ""
        offset, settings = document.offset_at(position), server.settings_of(document.uri)
        with server.reporter.working():
            return await server.completer.comment_first(
                SuggestionQuery(document, offset, settings, False)
            )

    def add(name: str, run: Callable[..., Any]) -> None:
        """The command's name contains `server`, so that it differs from the client's own commands."""
        server.command(f"warmline.server.{name}")(run)

        async def asked(params: Any) -> Any:
            # without parameters a request has null
            found = run(*([] if params is None else [params]))
            return await found if isawaitable(found) else found

        server.feature(f"warmline/{name}")(asked)

    add("restart", restart)
    add("statistics", statistics)
    add("debugInformation", debug_information)
    add("context", context)
    add("commentFirst", comment_first)
