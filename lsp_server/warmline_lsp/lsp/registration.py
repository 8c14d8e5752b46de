"""Capabilities that are registered while the server runs, with clients that support dynamic registration."""

from __future__ import annotations

import logging

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from warmline_lsp.documents.workspace import WATCHED

from .transport import StreamServer

log = logging.getLogger(__name__)

SCHEMES = ("file", "untitled")  # of URIs whose documents are served
_SELECTOR = [types.TextDocumentFilterScheme(scheme) for scheme in SCHEMES]


class Registrations:
    """Registers completions only while an engine can answer them."""

    def __init__(self, server: StreamServer) -> None:
        self._server = server
        self._is_registered = False

    @property
    def is_late(self) -> bool:
        """Whether the client supports dynamic registration of inline completions."""
        text = self._server.client_capabilities.text_document
        inline = text.inline_completion if text else None
        return bool(inline and inline.dynamic_registration)

    async def settings(self) -> None:
        """Requests notifications of changed settings."""
        workspace = self._server.client_capabilities.workspace
        changes = workspace.did_change_configuration if workspace else None
        if changes and changes.dynamic_registration:
            options = types.DidChangeConfigurationRegistrationOptions(section="warmline")
            await self._register(types.WORKSPACE_DID_CHANGE_CONFIGURATION, options)

    async def files(self) -> None:
        """Requests notifications of source files that change on disk."""
        workspace = self._server.client_capabilities.workspace
        watched = workspace.did_change_watched_files if workspace else None
        if watched and watched.dynamic_registration:
            watchers = [types.FileSystemWatcher(glob) for glob in WATCHED]
            options = types.DidChangeWatchedFilesRegistrationOptions(watchers)
            await self._register(types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)

    async def completions(self, is_ready: bool) -> None:
        """Registers inline completions if the engine is ready, and unregisters them if not."""
        if not self.is_late or is_ready == self._is_registered:
            return
        self._is_registered = is_ready
        method = types.TEXT_DOCUMENT_INLINE_COMPLETION
        if is_ready:
            selector = types.InlineCompletionRegistrationOptions(document_selector=_SELECTOR)
            await self._register(method, selector)
        else:
            removed = types.UnregistrationParams([types.Unregistration(id=method, method=method)])
            try:
                await self._server.client_unregister_capability_async(removed)
            except JsonRpcException as error:
                log.warning("the client does not unregister %s: code %d", method, error.code)

    async def _register(self, method: str, options: object) -> None:
        registration = types.Registration(id=method, method=method, register_options=options)
        try:
            await self._server.client_register_capability_async(
                types.RegistrationParams([registration])
            )
        except JsonRpcException as error:
            log.warning("the client does not register %s: code %d", method, error.code)
