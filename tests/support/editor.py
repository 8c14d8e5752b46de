"""An editor: a real server on standard input and output, and a real engine behind it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from warmline_protocol import wire

WITHIN_S = 300  # one that waits longer hangs, even on a very busy machine


class Client(LanguageClient):
    """An editor: it remembers what the server told it, and fails on a dialogue."""

    def __init__(self) -> None:
        super().__init__("editor", "1")
        self.statuses: list[Any] = []
        self.encoded: list[Any] = []
        self.better: list[Any] = []
        self.dialogues: list[Any] = []
        self.changed = asyncio.Event()
        self.options: dict[str, Any] = {}
        self.scoped: dict[str, dict[str, Any]] = {}  # options of a document, over the others
        self.progresses: list[Any] = []
        self.traces: list[str] = []
        self.registered: dict[str, Any] = {}

        @self.feature("warmline/status")
        def _(params: Any) -> None:
            self.statuses.append(params)
            self.changed.set()

        @self.feature("warmline/encoded")
        def _(params: Any) -> None:
            self.encoded.append(params)
            self.changed.set()

        @self.feature("warmline/better")
        def _(params: Any) -> None:
            self.better.append(params)
            self.changed.set()

        @self.feature(types.WINDOW_SHOW_MESSAGE)
        def _(params: Any) -> None:
            self.dialogues.append(params)

        @self.feature(types.WINDOW_LOG_MESSAGE)
        def _(params: Any) -> None:
            """A line in the editor's log."""

        @self.feature(types.WORKSPACE_CONFIGURATION)
        def _(params: types.ConfigurationParams) -> list[Any]:
            scopes = [item.scope_uri or "" for item in params.items]
            return [{**self.options, **self.scoped.get(scope, {})} for scope in scopes]

        @self.feature(types.CLIENT_REGISTER_CAPABILITY)
        def _(params: types.RegistrationParams) -> None:
            self.registered.update({r.method: r.register_options for r in params.registrations})
            self.changed.set()

        @self.feature(types.CLIENT_UNREGISTER_CAPABILITY)
        def _(params: types.UnregistrationParams) -> None:
            for gone in params.unregisterations:
                del self.registered[gone.method]
            self.changed.set()

        @self.feature(types.WINDOW_WORK_DONE_PROGRESS_CREATE)
        def _(params: Any) -> None:
            """Shown somewhere."""

        @self.feature(types.PROGRESS)
        def _(params: types.ProgressParams) -> None:
            self.progresses.append(params.value)
            self.changed.set()

        @self.feature(types.LOG_TRACE)
        def _(params: types.LogTraceParams) -> None:
            self.traces.append(params.message)
            self.changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits for something the server tells."""
        async with asyncio.timeout(WITHIN_S):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    async def until_state(self, state: str) -> None:
        await self.until(lambda: bool(self.statuses) and self.statuses[-1].state == state)

    def open(self, uri: str, text: str, language: str = "python", version: int = 1) -> None:
        item = types.TextDocumentItem(uri, language, version, text)
        self.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def change(self, uri: str, version: int, *changes: Any) -> None:
        identifier = types.VersionedTextDocumentIdentifier(version, uri)
        self.text_document_did_change(types.DidChangeTextDocumentParams(identifier, list(changes)))

    def ask(
        self, uri: str, line: int, character: int, **context: Any
    ) -> Awaitable[types.InlineCompletionList]:
        kind = types.InlineCompletionTriggerKind.Invoked
        return self.text_document_inline_completion_async(
            types.InlineCompletionParams(
                types.InlineCompletionContext(kind, **context),
                types.TextDocumentIdentifier(uri),
                types.Position(line, character),
            )
        )  # type: ignore[return-value]


def insertion(line: int, character: int, text: str) -> types.TextDocumentContentChangePartial:
    place = types.Position(line, character)
    return types.TextDocumentContentChangePartial(types.Range(place, place), text)


@contextmanager
def home_in(folder: Path) -> Iterator[dict[str, str]]:
    """An environment whose engines are met nowhere else; they are ended with it."""
    yield {
        **os.environ,
        "XDG_RUNTIME_DIR": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
    }
    for path in folder.glob("warmline/*.sock"):
        pid = engine_pid(path)
        if pid:
            os.kill(pid, signal.SIGTERM)


def engine_pid(path: Path) -> int | None:
    """The process that listens on a socket, None where nobody does."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(WITHIN_S)
        try:
            connection.connect(str(path))
        except OSError:
            return None
        connection.sendall(wire.pack(wire.Hello(wire.PROTOCOL_VERSION, client="test")))
        with connection.makefile("rb") as stream:
            (length,) = struct.unpack("<I", stream.read(4))
            welcome = wire.unpack(stream.read(length))
    assert isinstance(welcome, wire.Welcome)
    return welcome.pid


@asynccontextmanager
async def editor(
    home: dict[str, str], options: dict[str, Any], ready: str = "ready", **rest: Any
) -> AsyncIterator[Client]:
    """An editor window with a server of its own, which it ends; what `begun` takes beside is passed on."""
    client = await begun(home, options, **rest)
    await client.until_state(ready)
    try:
        yield client
        assert not client.dialogues, "a dialogue was shown"
    finally:
        async with asyncio.timeout(WITHIN_S):
            await client.shutdown_async(None)
            client.exit(None)
            await client.stop()


async def begun(
    home: dict[str, str],
    options: dict[str, Any],
    scoped: dict[str, dict[str, Any]] | None = None,
    folders: list[types.WorkspaceFolder] | None = None,
    command: Sequence[str] = ("-m", "warmline_lsp"),
    **capabilities: Any,
) -> Client:
    """An editor window that the test ends; `command` are Python's arguments that start the server.

    `capabilities` are added to those that every window has.
    """
    client = Client()
    client.scoped = scoped or {}
    client.options = {"debounceMs": 0, "threads": 1, "idleExitMinutes": 1, **options}
    await client.start_io(sys.executable, *command, "lsp", env=home)
    workspace = types.WorkspaceClientCapabilities(configuration=True)
    wanted = {"warmline": dict.fromkeys(("status", "encoded", "better"), True)}
    asked = types.ClientCapabilities(
        **{"workspace": workspace, "experimental": wanted, **capabilities}
    )
    result = await client.initialize_async(
        types.InitializeParams(
            asked,
            initialization_options=client.options,
            trace=types.TraceValue.Messages,
            workspace_folders=folders,
        )
    )
    is_late = bool(asked.text_document and asked.text_document.inline_completion)
    assert (result.capabilities.inline_completion_provider is None) == is_late
    client.initialized(types.InitializedParams())
    return client


Opener = Callable[..., Any]
