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

    That is a version of null or none, a position of a number too large, and a range of null. A text that is no
    string would become one later, so it is taken out here.
    """
    document = _field(data.get("params"), "textDocument")
    uri = _field(document, "uri")
    if not isinstance(uri, str):
        return ""
    version = _field(document, "version")
    if not isinstance(version, int) or not -_MAX_NUMBER <= version <= _MAX_NUMBER:
        document["version"] = 0
    if not isinstance(document.get("text", ""), str):
        del document["text"]
    changes = _field(data["params"], "contentChanges")
    if isinstance(changes, list) and not all(map(_mend, cast(list[Any], changes))):
        del data["params"]["contentChanges"]
    return uri


def _mend(change: Any) -> bool:
    """Mends a change; False where it cannot be read."""
    if not isinstance(_field(change, "text"), str):
        return False
    change.pop("rangeLength", None)
    if _field(change, "range") is None:
        change.pop("range", None)
        return True
    for name in ("start", "end"):
        position = _field(change["range"], name)
        for part in ("line", "character"):
            number = _field(position, part)
            if not isinstance(number, int):
                return False
            position[part] = min(number, _MAX_NUMBER)
    return True


def _field(found: Any, name: str) -> Any:
    return found.get(name) if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]


class _Nothing:
    """A message that was dealt with; its version is none that pygls handles."""

    jsonrpc = ""
