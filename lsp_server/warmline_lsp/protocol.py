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
    """Opens, changes and closes go to our handlers alone.

    pygls' own text handling breaks lines where LSP does not, takes reversed ranges, and fails on a
    document it does not know before our handler is called.
    """

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> _Steps:
        yield self._ours(types.TEXT_DOCUMENT_DID_OPEN), (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> _Steps:
        yield self._ours(types.TEXT_DOCUMENT_DID_CHANGE), (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> _Steps:
        yield self._ours(types.TEXT_DOCUMENT_DID_CLOSE), (params,), None

    def _ours(self, method: str) -> Any:
        return cast(dict[str, Any], self.fm.features)[method]  # pyright: ignore[reportUnknownMemberType]

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
