"""pygls' JSON-RPC, mended where it would keep text of its own or leave a request unanswered."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Any, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams
from pygls.protocol import LanguageServerProtocol, lsp_method

log = logging.getLogger(__name__)

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
        """Answers a request whose parameters are wrong, which pygls only logs."""
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            is_request = "id" in data and "method" in data
            if is_request:
                method = data.get("method")
                reply = JsonRpcInvalidParams(f"the parameters of {method} are not valid")
                self._send_response(data["id"], error=reply.to_response_error())
            log.warning("a message was refused: %s", type(error).__name__)
            # nothing is left to do with it, and nobody waits for it
            return cast(Any, _Nothing())


class _Nothing:
    """A message that was dealt with; its version is none that pygls handles."""

    jsonrpc = ""
