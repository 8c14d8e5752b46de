"""What is registered with a client while the server runs, where the client can be told so late."""

from __future__ import annotations

import logging

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from warmline_lsp.documents.workspace import WATCHED

from .transport import StreamServer

log = logging.getLogger(__name__)

SCHEMES = ("file", "untitled")  # whose documents are served
_SELECTOR = [types.TextDocumentFilterScheme(scheme) for scheme in SCHEMES]


class Registrations:
    """Registers completions only while there is an engine to answer them."""

    def __init__(self, server: StreamServer) -> None:
        self._server = server
        self._is_registered = False

    @property
    def is_late(self) -> bool:
        """Whether the client takes a registration of inline completions after the start."""
        text = self._server.client_capabilities.text_document
        inline = text.inline_completion if text else None
        return bool(inline and inline.dynamic_registration)

    async def settings(self) -> None:
        """Asks to be told of changed settings."""
        workspace = self._server.client_capabilities.workspace
        changes = workspace.did_change_configuration if workspace else None
        if changes and changes.dynamic_registration:
            options = types.DidChangeConfigurationRegistrationOptions(section="warmline")
            await self._register(types.WORKSPACE_DID_CHANGE_CONFIGURATION, options)

    async def files(self) -> None:
        """Asks to be told of source files that change on disk."""
        workspace = self._server.client_capabilities.workspace
        watched = workspace.did_change_watched_files if workspace else None
        if watched and watched.dynamic_registration:
            watchers = [types.FileSystemWatcher(glob) for glob in WATCHED]
            options = types.DidChangeWatchedFilesRegistrationOptions(watchers)
            await self._register(types.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)

    async def completions(self, wanted: bool) -> None:
        """Registers inline completions, or takes the registration back."""
        if not self.is_late or wanted == self._is_registered:
            return
        self._is_registered = wanted
        method = types.TEXT_DOCUMENT_INLINE_COMPLETION
        if wanted:
            selector = types.InlineCompletionRegistrationOptions(document_selector=_SELECTOR)
            await self._register(method, selector)
        else:
            gone = types.UnregistrationParams([types.Unregistration(id=method, method=method)])
            try:
                await self._server.client_unregister_capability_async(gone)
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
