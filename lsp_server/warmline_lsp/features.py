"""What the server does for a client: each LSP method in a few lines, on the state in `server.py`."""

from __future__ import annotations

import logging
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from .completer import Ask, Selected
from .documents import Document, code_points
from .engine_process import Command, engine_command
from .errors import DocumentError
from .server import WarmlineServer, is_ours

log = logging.getLogger(__name__)

# the client runs it behind an accepted item, with the item's id
ACCEPTED_COMMAND = "warmline.didAcceptCompletionItem"


def make_server(command: Command = engine_command) -> WarmlineServer:
    """A server with all its features."""
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
        server.scopes.push(params.initialization_options)

    @server.feature(types.INITIALIZED)
    async def _(params: types.InitializedParams) -> None:
        workspace = server.client_capabilities.workspace
        if workspace and workspace.configuration:
            server.scopes.use_pull(pull)
            await server.registrations.settings()
        await server.pull_settings()  # which starts the engine
        await server.registrations.files()

    async def pull(scopes: list[str | None]) -> list[object]:
        items = [types.ConfigurationItem(scope, "warmline") for scope in scopes]
        answers = await server.workspace_configuration_async(types.ConfigurationParams(items))
        return list(answers or [])

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def _(params: types.DidChangeConfigurationParams) -> None:
        sent: Any = params.settings
        if isinstance(sent, dict) and sent:
            server.scopes.push(sent.get("warmline", sent))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        await server.pull_settings()

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    async def _(params: types.DidChangeWorkspaceFoldersParams) -> None:
        """Another folder may mean other settings for an open document."""
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
        except DocumentError as error:
            log.warning("a change is ignored: %s", error)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def _(params: types.DidCloseTextDocumentParams) -> None:
        server.close(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def _(params: types.DidSaveTextDocumentParams) -> None:
        """Saving changes no text."""


def _register_completion(server: WarmlineServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def _(params: types.InlineCompletionParams) -> types.InlineCompletionList:
        uri = server.spelling(params.text_document.uri)
        document = server.documents.get(uri)
        if document is None:
            if is_ours(uri):
                raise JsonRpcInvalidParams("the document is not open")
            return types.InlineCompletionList([])
        await server.scopes.known(uri)
        # an answer fits one version only
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
    ask = Ask(document, offset, server.settings_of(document.uri), is_automatic, selected)
    with server.reporter.working():
        items = await server.completer.complete(ask)
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
    """What clients tell by themselves: our own notice of the cursor, and those that Copilot's server takes."""

    @server.feature("warmline/didMoveCursor")
    def _(params: Any) -> None:
        try:
            line, character = int(params.position.line), int(params.position.character)
            uri = str(params.textDocument.uri)
        except (AttributeError, TypeError, ValueError):
            log.warning("a cursor is ignored: expected textDocument.uri and position")
            return
        if min(line, character) < 0:
            log.warning("a cursor is ignored: its position is negative")
            return
        server.move_cursor(uri, types.Position(line, character))

    @server.feature("textDocument/didFocus")
    def _(params: Any) -> None:
        uri = server.spelling(str(getattr(getattr(params, "textDocument", None), "uri", "")))
        if uri in server.documents:
            server.reporter.look_at(uri)

    @server.feature("textDocument/didShowCompletion")
    def _(params: Any) -> None:
        server.statistics.shown(_offer_id(params))

    @server.feature("textDocument/didPartiallyAcceptCompletion")
    def _(params: Any) -> None:
        offer_id, length = _offer_id(params), getattr(params, "acceptedLength", None)
        if isinstance(length, int):
            n_characters = code_points(server.statistics.given(offer_id), length, "utf-16")
            server.statistics.partly_accepted(offer_id, n_characters)

    @server.command(ACCEPTED_COMMAND)
    def _(*arguments: Any) -> None:
        """Counted once: the edit has told it already, unless the client changed the text."""
        if arguments:
            server.statistics.accepted(str(arguments[0]))


def _offer_id(params: Any) -> str:
    """The id in the command of an item that a client sends back; empty where there is none."""
    try:
        return str(params.item.command.arguments[0])
    except (AttributeError, TypeError, IndexError):
        return ""


def _register_commands(server: WarmlineServer) -> None:
    """Each as a command that any client can run, and as a message of our own clients."""

    async def restart(*_: Any) -> None:
        await server.restart_engine()

    def statistics(*_: Any) -> dict[str, Any]:
        return server.reporter.statistics()

    async def debug_information(*_: Any) -> dict[str, Any]:
        return await server.reporter.debug_information()

    async def context(*arguments: Any) -> dict[str, Any] | None:
        """Of the document whose URI is given, else of the one touched last."""
        given = arguments[0] if arguments else None
        uri = given if isinstance(given, str) else getattr(given, "uri", None)
        if uri is None:
            uri = next(reversed(server.documents), None)
        return None if uri is None else await server.context_of(server.spelling(str(uri)))

    async def comment_first(*arguments: Any) -> str:
        """At a position of a document, as an object with both or as two arguments."""
        given = arguments[0] if arguments else None
        uri = getattr(given, "uri", given)
        position = arguments[1] if len(arguments) > 1 else getattr(given, "position", None)
        document = server.documents.get(server.spelling(str(uri)))
        if document is None or position is None:
            raise JsonRpcInvalidParams("expected the URI of an open document and a position")
        await server.scopes.known(document.uri)
        if server.documents.get(document.uri) is not document or server.refusal(document):
            return ""
        offset = document.offset_at(types.Position(int(position.line), int(position.character)))
        settings = server.settings_of(document.uri)
        with server.reporter.working():
            return await server.completer.comment_first(Ask(document, offset, settings, False))

    # a client registers commands under their names, where our extension has its own: hence `server`
    server.command("warmline.server.restart")(restart)
    server.command("warmline.server.statistics")(statistics)
    server.command("warmline.server.debugInformation")(debug_information)
    server.command("warmline.server.context")(context)
    server.command("warmline.server.commentFirst")(comment_first)
    server.feature("warmline/restart")(restart)
    server.feature("warmline/statistics")(statistics)
    server.feature("warmline/debugInformation")(debug_information)
    server.feature("warmline/context")(context)
    server.feature("warmline/commentFirst")(comment_first)
