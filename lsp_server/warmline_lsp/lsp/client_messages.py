"""What the server sends to its client unasked: warnings for the user, traces, and `warmline/…` notifications."""

from __future__ import annotations

import json
import logging
from typing import Any

from lsprotocol import types

from .transport import StreamServer

log = logging.getLogger(__name__)


class ClientMessages:
    """Messages to one client."""

    def __init__(self, server: StreamServer) -> None:
        self._server = server
        # of `initialize`: the notifications that the client asked for
        self.announced: frozenset[str] = frozenset()
        self._sent: set[tuple[str, str]] = set()  # URI and kind of problem

    @property
    def is_connected(self) -> bool:
        return self._server.protocol.writer is not None

    def notify(self, name: str, params: dict[str, Any]) -> None:
        """Sends `warmline/NAME` to a client that asked for it."""
        if name in self.announced and self.is_connected:
            self._server.protocol.notify(f"warmline/{name}", params)

    def trace(self, event: str, **details: Any) -> None:
        """Logs a request to the engine or its answer, without any text, to a client that set a trace level."""
        level = self._server.protocol.trace
        if level == types.TraceValue.Off:
            return
        verbose = json.dumps(details) if level == types.TraceValue.Verbose else None
        self._server.log_trace(types.LogTraceParams(event, verbose))

    def log_setting_problem(self, problem: str) -> None:
        """Writes a problem of the settings to the editor's log only: it may contain a name that the client sent."""
        log.warning("a setting is invalid or not yet known; see the editor's log")
        self._log(problem)

    def log_repeated_versions(self) -> None:
        """Logs, once, that the client's document versions do not rise."""
        if self._is_new("", "versions"):
            log.warning("the editor repeats document versions")
            self._log("the editor repeats document versions; Warmline applies the changes anyway")

    def warn(self, uri: str, kind: str, problem: str) -> None:
        """Shows the user a problem of an open document, each kind once."""
        if self._is_new(uri, kind):
            message = f"Warmline: {uri.rpartition('/')[2]} {problem}"
            params = types.ShowMessageParams(types.MessageType.Warning, message)
            self._server.window_show_message(params)

    def forget(self, uri: str) -> None:
        """Shows the problems of a document again when it is opened again."""
        self._sent = {(sent_uri, kind) for sent_uri, kind in self._sent if sent_uri != uri}

    def _is_new(self, uri: str, kind: str) -> bool:
        is_new = (uri, kind) not in self._sent
        self._sent.add((uri, kind))
        return is_new

    def _log(self, text: str) -> None:
        params = types.LogMessageParams(types.MessageType.Warning, f"Warmline: {text}")
        self._server.window_log_message(params)
