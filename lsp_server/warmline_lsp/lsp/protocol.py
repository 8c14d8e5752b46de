"""JSON-RPC on top of pygls: each request is answered exactly once, and no value of a message is logged.

pygls alone converts every object inside a message that has a member `jsonrpc`, drops replies that it cannot convert,
and logs whole messages. So this module replaces its dispatch.
"""

from __future__ import annotations

import contextvars
import logging
import traceback
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import Future
from functools import partial
from typing import Any, cast

from lsprotocol import types
from pygls.exceptions import (
    FeatureNotificationError,
    FeatureRequestError,
    JsonRpcException,
    JsonRpcMethodNotFound,
)
from pygls.protocol import LanguageServerProtocol, lsp_method

from .messages import MessageError, is_request_id, parse
from .tolerance import make_strict, mend, without_unknown_trace

log = logging.getLogger(__name__)

PARSE_ERROR, INVALID_REQUEST, UNKNOWN_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602
INTERNAL_ERROR, NOT_INITIALIZED, CANCELLED, UNKNOWN_ERROR = -32603, -32002, -32800, -32001

_Steps = Generator[Any, Any, None]


class Protocol(LanguageServerProtocol):
    """Dispatches messages to the server's handlers.

    didOpen, didChange and didClose skip pygls' text synchronization: it breaks lines where LSP does not, and fails on
    an unknown document before the server's handler is called.
    """

    def __init__(self, server: Any, converter: Any) -> None:
        super().__init__(server, converter)
        self._is_initialized = False
        self._unanswered: set[str | int] = set()  # ids of the server's requests without a reply
        make_strict(converter)

    # ---- features that pygls has too

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(
        self, params: types.InitializeParams
    ) -> Generator[Any, Any, types.InitializeResult]:
        result = yield from super().lsp_initialize(params)
        cast(Any, self._server).adjust(result.capabilities)
        self._is_initialized = True
        return result

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *args: Any) -> _Steps:
        yield self._handler(types.SHUTDOWN), args, None
        # copied, because a cancelled request is removed
        for msg_id, future in list(self._request_futures.items()):
            if msg_id != self.msg_id and not future.done():
                future.cancel()
        self._shutdown = True

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> _Steps:
        yield self._handler(types.TEXT_DOCUMENT_DID_OPEN), (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> _Steps:
        yield self._handler(types.TEXT_DOCUMENT_DID_CHANGE), (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> _Steps:
        yield self._handler(types.TEXT_DOCUMENT_DID_CLOSE), (params,), None

    # notebooks are ignored: pygls would store their cells

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

    def _handler(self, method: str) -> Any:
        return cast(dict[str, Any], self.fm.features)[method]  # pyright: ignore[reportUnknownMemberType]

    # ---- incoming messages

    def receive(self, body: bytes | None) -> None:
        """Handles the body of one message; None stands for a message that is too long."""
        try:
            if body is None:
                raise MessageError("the message is too long")
            message = parse(body)
        except MessageError as error:
            log.warning("a message was refused: %s", error)
            self._refuse(error.request_id, PARSE_ERROR, str(error))
            return
        self.handle_message(message)

    def structure_message(self, data: dict[str, Any]) -> Any:
        """The object unchanged. `_take` converts the parameters later, and nothing else."""
        return data

    def handle_message(self, message: Any) -> None:
        """Handles a request, a notification or a reply. `message` is a JSON value of any shape."""
        if not isinstance(message, dict):
            self._refuse(None, INVALID_REQUEST, "expected one JSON object")
            return
        known = cast(dict[str, Any], message)
        if "method" in known:
            # a separate context for each handler
            contextvars.copy_context().run(self._take, known)
        elif "id" in known:
            self._take_reply(known)
        else:
            log.warning("a message was refused: it has neither method nor id")

    def _take(self, message: dict[str, Any]) -> None:
        is_request, method = "id" in message, message["method"]
        request_id = message.get("id")
        problem = self._problem(message)
        if problem:
            log.warning("a message was refused: %s", problem[1])
            if is_request:
                self._refuse(request_id if is_request_id(request_id) else None, *problem)
            return
        mend(message)
        try:
            params = self._params(method, message.get("params"))
        except Exception as error:  # cattrs and its hooks raise many types
            log.warning("the parameters of %s were refused: %s", method, type(error).__name__)
            if is_request:
                text = f"the parameters of {method} are not valid"
                self._refuse(request_id, INVALID_PARAMS, text)
            else:
                cast(Any, self._server).refused(method, message.get("params"))
            return
        if is_request:
            self._handle_request(cast(str | int, request_id), method, params)
        else:
            self._handle_notification(method, params)

    def _problem(self, message: dict[str, Any]) -> tuple[int, str] | None:
        """Why a message is refused: a code and a text without any value of the message. None if it is not refused."""
        method, is_request = message["method"], "id" in message
        if message.get("jsonrpc") != self.VERSION or not isinstance(method, str):
            return INVALID_REQUEST, 'expected "jsonrpc": "2.0" and a method that is a string'
        if is_request and not is_request_id(message["id"]):
            return INVALID_REQUEST, "the id of a request must be a string or a whole number"
        if method == types.EXIT:
            return None
        if self._shutdown:
            return INVALID_REQUEST, "the server is shut down"
        if not self._is_initialized and method != types.INITIALIZE:
            return NOT_INITIALIZED, "the server is not initialized"
        if self._is_initialized and method == types.INITIALIZE:
            return INVALID_REQUEST, "the server is already initialized"
        if not is_request and _is_request_only(self.get_message_type(method)):
            return INVALID_REQUEST, "a request without an id"
        return None

    def _params(self, method: str, params: Any) -> Any:
        """The parameters as lsprotocol's type; unchanged for methods that LSP does not define."""
        kind = self.get_message_type(method)
        if kind is None:
            return params
        if method == types.INITIALIZED and params is None:
            params = {}
        if method == types.INITIALIZE and isinstance(params, dict):
            params = without_unknown_trace(cast(dict[str, Any], params))
        if method == types.WORKSPACE_EXECUTE_COMMAND and isinstance(params, dict):
            arguments = cast(dict[str, Any], params).get("arguments")
            # cattrs would convert a string or an object to a list
            if not isinstance(arguments, list | None):
                raise TypeError("expected a list")
        message: dict[str, Any] = {"jsonrpc": self.VERSION, "id": 0, "method": method}
        message["params"] = params
        return getattr(self._converter.structure(message, kind), "params", None)

    def _handle_request(self, msg_id: str | int, method_name: str, params: Any) -> None:
        self._ctx_msg_id.set(msg_id)
        try:
            handler = self._get_handler(method_name)
        except JsonRpcMethodNotFound:
            self._refuse(msg_id, UNKNOWN_METHOD, "the method is unknown")
            return
        done = partial(self._send_handler_result, msg_id=msg_id)
        self._execute_handler(msg_id, handler, callback=done, args=(params,))

    def _handle_notification(self, method_name: str, params: Any) -> None:
        if method_name == types.CANCEL_REQUEST:
            self._handle_cancel_notification(params.id)
            return
        try:
            handler = self._get_handler(method_name)
        except JsonRpcMethodNotFound:
            return
        done = self._check_handler_result
        self._execute_handler(str(uuid.uuid4()), handler, callback=done, args=(params,))

    def _handle_cancel_notification(self, msg_id: str | int) -> None:
        # a client can cancel only its own requests
        future = None if msg_id in self._unanswered else self._request_futures.pop(msg_id, None)
        if future is not None:
            future.cancel()

    def _take_reply(self, message: dict[str, Any]) -> None:
        """Passes on any result unchecked. The caller checks it, so that a malformed reply does not leave it waiting."""
        request_id, error = message["id"], message.get("error")
        if not is_request_id(request_id) or request_id not in self._unanswered:
            log.warning("a reply to no request was dropped")
            return
        future = self._request_futures.pop(request_id, None)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(message.get("result"))
            return
        code = cast(dict[str, Any], error).get("code") if isinstance(error, dict) else None
        known = code if isinstance(code, int) else UNKNOWN_ERROR
        # without the client's message: it may contain values, and this error may be logged
        future.set_exception(JsonRpcException("the client answered with an error", known))

    # ---- outgoing messages

    def send_request(
        self,
        method: str,
        params: Any | None = None,
        callback: Callable[[Any], None] | None = None,
        msg_id: str | int | None = None,
    ) -> Future[Any]:
        """Sends a request. Its result is the JSON value of the reply, of any shape."""
        request_id = str(uuid.uuid4()) if msg_id is None else msg_id
        self._unanswered.add(request_id)
        future = super().send_request(method, params, callback, request_id)
        future.add_done_callback(lambda _: self._forget(request_id))
        return future

    def _forget(self, request_id: str | int) -> None:
        self._unanswered.discard(request_id)
        self._request_futures.pop(request_id, None)
        self._result_types.pop(request_id, None)

    def _send_handler_result(self, future: Future[Any], *, msg_id: str | int) -> None:
        self._request_futures.pop(msg_id, None)
        if future.cancelled():
            self._refuse(msg_id, CANCELLED, "the request was cancelled")
            return
        error = future.exception()
        if error is None:
            self._send_response(msg_id, result=future.result())
        elif isinstance(error, JsonRpcException):
            self._refuse(msg_id, error.code, error.message)
        else:
            self._refuse(msg_id, INTERNAL_ERROR, f"internal error: {type(error).__name__}")
        if isinstance(error, Exception):
            self._server._report_server_error(error, FeatureRequestError)  # pyright: ignore[reportPrivateUsage]

    def _check_handler_result(self, future: Future[Any]) -> None:
        error = None if future.cancelled() else future.exception()
        if isinstance(error, Exception):
            self._server._report_server_error(error, FeatureNotificationError)  # pyright: ignore[reportPrivateUsage]

    def _refuse(self, request_id: str | int | None, code: int, message: str) -> None:
        """Answers with an error. The id is null if the request's id is unknown, as JSON-RPC requires."""
        error = {"code": code, "message": message}
        self._send_data({"jsonrpc": self.VERSION, "id": request_id, "error": error})


def described(error: BaseException) -> str:
    """An error's type and traceback, without its message, which may contain values from the client."""
    frames = traceback.extract_tb(error.__traceback__)
    where = "".join(f"\n  {f.filename}:{f.lineno} in {f.name}" for f in frames)
    return f"{type(error).__name__}{where}"


def _is_request_only(kind: type[Any] | None) -> bool:
    return kind is not None and any(f.name == "id" for f in kind.__attrs_attrs__)
