"""pygls' JSON-RPC, with dispatch of our own: each request is answered once, and no value reaches the log.

pygls structures every object inside a message that has a member `jsonrpc`, drops replies that it cannot structure, and
logs whole messages.
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

log = logging.getLogger(__name__)

PARSE_ERROR, INVALID_REQUEST, UNKNOWN_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602
INTERNAL_ERROR, NOT_INITIALIZED, CANCELLED, UNKNOWN_ERROR = -32603, -32002, -32800, -32001

_TEXT = (types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE)
_MAX_NUMBER = 2**31 - 1  # of LSP's integers

_Steps = Generator[Any, Any, None]


class Protocol(LanguageServerProtocol):
    """Opens, changes and closes go to our handlers alone.

    pygls' own text handling breaks lines where LSP does not, takes reversed ranges, and fails on a
    document it does not know before our handler is called.
    """

    def __init__(self, server: Any, converter: Any) -> None:
        super().__init__(server, converter)
        self._is_initialized = False
        self._asked: set[str | int] = set()  # ids of our requests without a reply
        # cattrs would turn null into the text "None", and true into 1
        converter.register_structure_hook(str, _text)
        converter.register_structure_hook(int, _whole)

    # ---- pygls' own features

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
        yield self._ours(types.SHUTDOWN), args, None
        # a cancelled request leaves the table
        for msg_id, future in list(self._request_futures.items()):
            if msg_id != self.msg_id and not future.done():
                future.cancel()
        self._shutdown = True

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

    # ---- what comes in

    def receive(self, body: bytes | None) -> None:
        """Handles one message; None stands for one that is too long."""
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
        """The object itself: `handle_message` structures, and only the parameters of a whole message."""
        return data

    def handle_message(self, message: Any) -> None:
        """Answers a request, takes in a notification or a reply. `message` is a JSON value of any shape."""
        if not isinstance(message, dict):
            self._refuse(None, INVALID_REQUEST, "expected one JSON object")
            return
        known = cast(dict[str, Any], message)
        if "method" in known:
            # each handler has a context of its own
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
        if method in _TEXT:
            _mend_text(message)
        try:
            params = self._params(method, message.get("params"))
        except Exception as error:  # whatever cattrs and its hooks raise
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
        """Why a request or notification is not handled now: a code, and words without any value of it."""
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
            return INVALID_REQUEST, "the server is initialized already"
        if not is_request and _is_request_only(self.get_message_type(method)):
            return INVALID_REQUEST, "a request without an id"
        return None

    def _params(self, method: str, params: Any) -> Any:
        """Parameters as lsprotocol's type of a method; as they are for a method that is not of LSP."""
        kind = self.get_message_type(method)
        if kind is None:
            return params
        if method == types.INITIALIZED and params is None:
            params = {}
        if method == types.INITIALIZE and isinstance(params, dict):
            params = _without_unknown_trace(cast(dict[str, Any], params))
        if method == types.WORKSPACE_EXECUTE_COMMAND and isinstance(params, dict):
            arguments = cast(dict[str, Any], params).get("arguments")
            # cattrs makes a list of the letters of a text, and of the names in an object
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
        # the client cancels its own requests only
        future = None if msg_id in self._asked else self._request_futures.pop(msg_id, None)
        if future is not None:
            future.cancel()

    def _take_reply(self, message: dict[str, Any]) -> None:
        """Any result is taken as it is: who asked checks it, so that nobody waits for what was malformed."""
        request_id, error = message["id"], message.get("error")
        if not is_request_id(request_id) or request_id not in self._asked:
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
        # its message may hold values, and this may be logged
        future.set_exception(JsonRpcException("the client answered with an error", known))

    # ---- what goes out

    def send_request(
        self,
        method: str,
        params: Any | None = None,
        callback: Callable[[Any], None] | None = None,
        msg_id: str | int | None = None,
    ) -> Future[Any]:
        """Sends a request; its result is the JSON value that the client replies, of any shape."""
        request_id = str(uuid.uuid4()) if msg_id is None else msg_id
        self._asked.add(request_id)
        future = super().send_request(method, params, callback, request_id)
        future.add_done_callback(lambda _: self._forget(request_id))
        return future

    def _forget(self, request_id: str | int) -> None:
        self._asked.discard(request_id)
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
        """Answers with an error; by JSON-RPC the id is null where that of the request is not known."""
        error = {"code": code, "message": message}
        self._send_data({"jsonrpc": self.VERSION, "id": request_id, "error": error})


def described(error: BaseException) -> str:
    """An error's type and where it was raised. Not its message, which may hold what the client sent."""
    frames = traceback.extract_tb(error.__traceback__)
    where = "".join(f"\n  {f.filename}:{f.lineno} in {f.name}" for f in frames)
    return f"{type(error).__name__}{where}"


def _mend_text(data: dict[str, Any]) -> None:
    """Makes parameters of didOpen and didChange valid where their meaning is clear.

    That is a version of null or none, a position with too large a number, and a range of null. What cannot be read is
    removed, so that the parameters are refused.
    """
    document = _field(data.get("params"), "textDocument")
    uri = _field(document, "uri")
    if not isinstance(uri, str):
        return
    version = _field(document, "version")
    if not isinstance(version, int) or not -_MAX_NUMBER <= version <= _MAX_NUMBER:
        document["version"] = 0
    if not isinstance(document.get("text", ""), str):
        del document["text"]
    changes = _field(data["params"], "contentChanges")
    if isinstance(changes, list) and not all(map(_mend, cast(list[Any], changes))):
        del data["params"]["contentChanges"]


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


def _is_request_only(kind: type[Any] | None) -> bool:
    return kind is not None and any(f.name == "id" for f in kind.__attrs_attrs__)


def _without_unknown_trace(params: dict[str, Any]) -> dict[str, Any]:
    # VS Code's library knows a value that LSP does not, and a trace is no reason to fail
    known = {value.value for value in types.TraceValue}
    trace = params.get("trace")
    is_known = isinstance(trace, str) and trace in known
    return params if is_known else {k: v for k, v in params.items() if k != "trace"}


def _text(value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, str):
        raise TypeError("expected a string")
    # cattrs asks here for enumerations of texts too
    return value if kind is str else kind(value)


def _whole(value: Any, kind: type[Any]) -> Any:
    # cattrs asks here for kinds of numbers too
    if kind is bool:
        return bool(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise TypeError("expected a whole number")
    return int(value) if kind is int else kind(int(value))
