"""An editor without a window: the client of a language server, which it starts."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from warmline_lsp.documents.difference import Edit
from warmline_lsp.documents.documents import Document
from warmline_protocol import processes

from .replay import Suggestion
from .tally import Tally

MAX_WAIT_S = 180
_AUTOMATIC = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)


class ServerFailed(Exception):
    """The server or its engine does not work here."""


class LspEditor:
    """Edits one document through `warmline lsp`, with the messages that VS Code sends."""

    def __init__(
        self, name: str, text: str, tally: Tally, progress: Callable[[str], None], threads: int = 0
    ) -> None:
        """`progress` is called with what the engine is doing while it loads."""
        self._folder = tempfile.TemporaryDirectory(prefix="wl")
        uri = (Path(self._folder.name) / name).as_uri()
        self.document = Document.open(uri, "python", 1, text, "utf-16")
        self.cursor = 0
        self._tally = tally
        self._progress = progress
        # the engine ends soon after the demo; all else is as users have it
        self._settings = {"idleExitMinutes": 0.05, "threads": threads}
        self._state, self._first = "", None
        self._changed = asyncio.Event()
        self._client = LanguageClient("demo", "1")
        self._register()

    async def start(self) -> None:
        """Starts the server and waits for the model.

        Raises: ServerFailed.
        """
        # an engine of its own, so that the loading is seen
        environment = {**os.environ, "XDG_RUNTIME_DIR": self._folder.name}
        # as processes.start does, by the client library
        command = processes.python("-m", "warmline_lsp", "lsp")
        await self._client.start_io(
            *command, env=processes.environment(environment), cwd=processes.neutral_folder()
        )
        capabilities = types.ClientCapabilities(
            workspace=types.WorkspaceClientCapabilities(configuration=True),
            experimental={"warmline": {"status": True, "encoded": True}},
        )
        await self._client.initialize_async(
            types.InitializeParams(capabilities, initialization_options=self._settings)
        )
        self._client.initialized(types.InitializedParams())
        await self._wait_until(lambda: self._state in ("ready", "error"))
        if self._state == "error":
            raise ServerFailed("the model could not be loaded; run .venv/bin/warmline doctor")

    async def stop(self) -> None:
        """Ends the server. The engine ends by itself soon after."""
        if self._state:
            await self._client.shutdown_async(None)
            self._client.exit(None)
        await self._client.stop()
        self._folder.cleanup()

    async def read(self) -> Any:
        """Opens the document and waits until the engine has read all of it.

        Returns what the server reports of it: nEncoded, nTokens, elapsedMs.
        """
        d = self.document
        item = types.TextDocumentItem(d.uri, d.language, d.version, d.text)
        self._client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        self.move(self.cursor)
        await self._wait_until(lambda: self._first is not None)
        return self._first

    async def replace(self, start: int, end: int, text: str) -> None:
        """Replaces [start, end), puts the cursor behind the new text, and notifies the server of both."""
        d = self.document
        where = types.Range(d.position_at(start), d.position_at(end))
        after = d.apply(Edit(start, end, text))
        self.document = replace(after, version=d.version + 1)
        self._tally.n_changes += 1
        self._client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                types.VersionedTextDocumentIdentifier(self.document.version, d.uri),
                [types.TextDocumentContentChangePartial(where, text)],
            )
        )
        self.move(start + len(text))

    async def suggestion(self) -> Suggestion | None:
        """What the server suggests at the cursor; the time until it answers is noted."""
        d = self.document
        params = types.InlineCompletionParams(
            _AUTOMATIC, types.TextDocumentIdentifier(d.uri), d.position_at(self.cursor)
        )
        begin = time.perf_counter()
        async with asyncio.timeout(MAX_WAIT_S):
            found: Any = await self._client.text_document_inline_completion_async(params)
        elapsed_ms = (time.perf_counter() - begin) * 1000
        items = found.items if found else []
        self._tally.answers.append((elapsed_ms, bool(items)))
        if not items:
            return None
        return Suggestion(str(items[0].command.arguments[0]), str(items[0].insert_text))

    def move(self, offset: int) -> None:
        """Puts the cursor elsewhere, and notifies the server as our clients do."""
        self.cursor, document = offset, self.document
        position = document.position_at(offset)
        self._client.protocol.notify(
            "warmline/didMoveCursor",
            {
                "textDocument": {"uri": document.uri},
                "position": {"line": position.line, "character": position.character},
            },
        )

    async def _wait_until(self, holds: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise ServerFailed(f"no answer of the engine within {MAX_WAIT_S} s") from None

    def _register(self) -> None:
        client = self._client

        @client.feature("warmline/status")
        def _(params: Any) -> None:
            self._state = params.state
            if params.state == "loading":
                self._progress("" if params.percent is None else f"loading: {params.percent} %")
            self._changed.set()

        @client.feature("warmline/encoded")
        def _(params: Any) -> None:
            if self._first is None:
                self._first = params
            else:
                self._tally.n_encoded += params.nEncoded
                self._tally.n_tokens.append(params.nTokens)
            self._changed.set()

        @client.feature(types.WORKSPACE_CONFIGURATION)
        def _(params: Any) -> list[Any]:
            return [self._settings for _ in params.items]

        @client.feature(types.WINDOW_LOG_MESSAGE)
        def _(params: Any) -> None:
            self._progress(str(params.message))
