"""pygls' JSON-RPC, mended where it would keep text of its own or leave a request unanswered."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams
from pygls.protocol import LanguageServerProtocol, lsp_method

log = logging.getLogger(__name__)

_TEXT = (types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE)
_MAX_NUMBER = 2**31 - 1  # of LSP's integers

_Steps = Generator[Any, Any, None]


class Protocol(LanguageServerProtocol):
    """Opens, changes and closes go to our handlers alone; each request is answered once.

    pygls' own text handling breaks lines where LSP does not, takes reversed ranges, and fails on a
    document it does not know before our handler is called.
    """

    _is_initialized = False

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(
        self, params: types.InitializeParams
    ) -> Generator[Any, Any, types.InitializeResult]:
        result = yield from super().lsp_initialize(params)
        cast(Any, self._server).adjust(result.capabilities)
        self._is_initialized = True
        return result

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> _Steps:
        yield self._ours(types.TEXT_DOCUMENT_DID_OPEN), (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> _Steps:
        yield self._ours(types.TEXT_DOCUMENT_DID_CHANGE), (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> _Steps:
        yield self._ours(types.TEXT_DOCUMENT_DID_CLOSE), (params,), None

    # notebooks are left alone: pygls would keep their cells

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def lsp_notebook_document__did_open(
        self, params: types.DidOpenNotebookDocumentParams
    ) -> _Steps:
        yield from ()

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def lsp_notebook_document__did_change(
        self, params: types.DidChangeNotebookDocumentParams
    ) -> _Steps:
        yield from ()

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def lsp_notebook_document__did_close(
        self, params: types.DidCloseNotebookDocumentParams
    ) -> _Steps:
        yield from ()

    def _ours(self, method: str) -> Any:
        return cast(dict[str, Any], self.fm.features)[method]  # pyright: ignore[reportUnknownMemberType]

    def handle_message(self, message: Any) -> None:
        """Answers requests that come too early or too late, which pygls runs or leaves open."""
        method, request_id = getattr(message, "method", None), getattr(message, "id", None)
        is_early = not self._is_initialized and method not in (types.INITIALIZE, types.EXIT)
        if method is None or not (is_early or self._shutdown) or method == types.EXIT:
            super().handle_message(message)
        elif request_id is not None:
            code, text = (
                (-32002, "the server is not initialized")
                if is_early
                else (-32600, "the server is shut down")
            )
            self._send_response(request_id, error=types.ResponseError(code, text))

    def structure_message(self, data: dict[str, Any]) -> Any:
        """Answers a request whose parameters are wrong, which pygls only logs.

        A change of a document that cannot be read is not forgotten: its text is unknown from then on.
        """
        changed = _mended(data) if data.get("method") in _TEXT else ""
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            is_request = "id" in data and "method" in data
            if is_request:
                method = data.get("method")
                reply = JsonRpcInvalidParams(f"the parameters of {method} are not valid")
                self._send_response(data["id"], error=reply.to_response_error())
            log.warning("a message was refused: %s", type(error).__name__)
            if changed:
                cast(Any, self._server).lose_change(changed)
            # nothing is left to do with it, and nobody waits for it
            return cast(Any, _Nothing())


def _mended(data: dict[str, Any]) -> str:
    """Makes what clients send of a text what LSP asks for, where the meaning is clear; the URI, or nothing.

    That is a version of null or none, a position of a number too large, and a range of null.
    """
    params: Any = data.get("params")
    document: Any = params.get("textDocument") if isinstance(params, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(document, dict):
        return ""
    version: Any = document.get("version")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(version, int) or not -_MAX_NUMBER <= version <= _MAX_NUMBER:
        document["version"] = 0
    changes: Any = params.get("contentChanges")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    for change in changes if isinstance(changes, list) else []:  # pyright: ignore[reportUnknownVariableType]
        if isinstance(change, dict):
            change.pop("rangeLength", None)  # pyright: ignore[reportUnknownMemberType]
            if change.get("range", "") is None:  # pyright: ignore[reportUnknownMemberType]
                del change["range"]
            _mend_range(change.get("range"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    uri: Any = document.get("uri")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return uri if isinstance(uri, str) else ""


def _mend_range(where: Any) -> None:
    for end in where.values() if isinstance(where, dict) else ():  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        for name in ("line", "character"):
            number: Any = end.get(name) if isinstance(end, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            if isinstance(number, int) and number > _MAX_NUMBER:
                end[name] = _MAX_NUMBER


class _Nothing:
    """A message that was dealt with; its version is none that pygls handles."""

    jsonrpc = ""
