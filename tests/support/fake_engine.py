"""An engine that says what the test wants, and an editor window in the same process as the server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from warmline_lsp.engine import socket_paths
from warmline_lsp.lsp.features import make_server
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire

WITHIN_S = 300  # one that waits longer hangs, even on a very busy machine
LOOKED_AGAIN_S = 0.2
URI = "file:///project/greet.py"
F = TypeVar("F", bound=wire.Frame)

READY = wire.ModelReady("fake", "0", ("python",), True, 4096, "cpu", "float32")


@pytest.fixture
def runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test's own where engines are met."""
    folder = tmp_path_factory.mktemp("r")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    return folder


class Waiting:
    """Something that changes, and can be waited for."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()

    async def until(self, holds: Callable[[], object]) -> None:
        """Waits for a condition: after each change, and now and then for what happens in other processes."""
        async with asyncio.timeout(WITHIN_S):
            while not holds():
                self.changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOKED_AGAIN_S):
                        await self.changed.wait()


class FakeEngine(Waiting):
    """Listens where the server looks for its engine, and remembers all frames."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[wire.Frame] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.n_connections = 0
        # what is done with a frame; the usual: say hello, take in documents, leave completions open
        self.react: Callable[[wire.Frame, asyncio.StreamWriter], None] = self.usual

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        self.writers.append(writer)
        self.changed.set()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frame = await wire.read(reader)
                self.frames.append(frame)
                self.react(frame, writer)
                self.changed.set()
        self.writers.remove(writer)
        writer.close()
        self.changed.set()

    def usual(self, frame: wire.Frame, writer: asyncio.StreamWriter) -> None:
        if isinstance(frame, wire.Hello):
            self.say(wire.Welcome(wire.PROTOCOL_VERSION, "fake", 1), writer)
            self.say(READY, writer)
        elif isinstance(frame, wire.AskStatus):
            self.say(wire.Status(frame.id, "ready", "", "fake", (), 0, 0), writer)

    def say(self, frame: wire.Frame, writer: asyncio.StreamWriter | None = None) -> None:
        (writer or self.writers[-1]).write(wire.pack(frame))

    def answer(self, request_id: int, *texts: str, is_provisional: bool = False) -> None:
        items = tuple(wire.Item(text, 0.0) for text in texts)
        self.say(
            wire.Completion(
                request_id, items, "end", 1, 1, 0, 1, 1.0, 1.0, is_provisional=is_provisional
            )
        )

    def of(self, kind: type[F]) -> list[F]:
        return [frame for frame in self.frames if isinstance(frame, kind)]

    async def next(self, kind: type[F], n_before: int = 0) -> F:
        """The frame of a kind behind the first `n_before`, waited for."""
        await self.until(lambda: len(self.of(kind)) > n_before)
        return self.of(kind)[n_before]


@asynccontextmanager
async def fake_engine(settings: Settings | None = None) -> AsyncIterator[FakeEngine]:
    engine = FakeEngine()
    path = socket_paths.socket_path((settings or Settings()).engine_options())
    server = await asyncio.start_unix_server(engine.serve, path)
    try:
        yield engine
    finally:
        await _end(engine, server)
        path.unlink(missing_ok=True)


@asynccontextmanager
async def fake_remote_engine() -> AsyncIterator[tuple[FakeEngine, Settings]]:
    """One that listens on TCP, and the settings that lead to it."""
    engine = FakeEngine()
    server = await asyncio.start_server(engine.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield engine, Settings(remote_engine=f"{host}:{port}")
    finally:
        await _end(engine, server)


async def _end(engine: FakeEngine, server: asyncio.Server) -> None:
    server.close()
    for writer in list(engine.writers):
        writer.close()
    await asyncio.sleep(0)


class FakeEditor(Waiting):
    """A client whose messages go through the server's own JSON-RPC, without a process between."""

    def __init__(self) -> None:
        super().__init__()
        self.server = make_server(lambda settings, path: ["false"])
        self.server.protocol.set_writer(self)  # type: ignore[arg-type]
        self.answers: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
        self.told: list[dict[str, Any]] = []
        self.configuration: Callable[[str | None], Any] = lambda scope: {}
        self.announces: tuple[str, ...] = (
            "status",
            "encoded",
            "better",
        )  # of the server's own notifications
        self.holds_configuration = False
        # in place of the reply to workspace/configuration: the members of a message
        self.replies: Callable[[list[Any]], dict[str, Any]] | None = None
        self.n_items: list[int] = []  # of each workspace/configuration
        self._held: list[dict[str, Any]] = []
        self._ids = itertools.count(1)

    # what pygls writes to

    def write(self, data: bytes) -> None:
        message = json.loads(data.partition(b"\r\n\r\n")[2])
        if "method" not in message:
            self.answers[message["id"]].append(message)
        elif "id" in message:
            self._asked(message)
        else:
            self.told.append(message)
        self.changed.set()

    def close(self) -> None:
        """Nothing is open."""

    def _asked(self, message: dict[str, Any]) -> None:
        if message["method"] == "workspace/configuration":
            if self.holds_configuration:
                self._held.append(message)
                return
            self.n_items.append(len(message["params"]["items"]))
            if self.replies is not None:
                reply = self.replies(message["params"]["items"])
                self._later({"jsonrpc": "2.0", "id": message["id"], **reply})
                return
            result = [
                self.configuration(item.get("scopeUri")) for item in message["params"]["items"]
            ]
            self._reply(message["id"], result)
        else:
            self.told.append(message)
            self._reply(message["id"], None)

    def release_configuration(self) -> None:
        """Answers what was held back."""
        self.holds_configuration = False
        held, self._held = self._held, []
        for message in held:
            self._asked(message)

    def _reply(self, request_id: Any, result: Any) -> None:
        self._later({"jsonrpc": "2.0", "id": request_id, "result": result})

    def _later(self, message: dict[str, Any]) -> None:
        asyncio.get_running_loop().call_soon(self.raw, message)

    # what the editor sends

    def raw(self, message: dict[str, Any]) -> None:
        self.send(json.dumps(message).encode())

    def send(self, body: bytes) -> None:
        """One message as it is on the wire, without its header."""
        self.server._receive(body)

    def notify(self, method: str, params: Any) -> None:
        self.raw({"jsonrpc": "2.0", "method": method, "params": params})

    def request(self, method: str, params: Any) -> int:
        request_id = next(self._ids)
        self.raw({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        return request_id

    async def answer(self, request_id: int) -> Any:
        await self.until(lambda: self.answers[request_id])
        (message,) = self.answers[request_id]
        assert "error" not in message, message
        return message["result"]

    async def begin(
        self,
        capabilities: dict[str, Any] | None = None,
        folders: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        asked = self.request(
            "initialize",
            {
                "processId": None,
                "rootUri": None,
                "workspaceFolders": [{"uri": uri, "name": uri} for uri in folders] or None,
                "trace": "messages",
                "capabilities": {
                    "workspace": {"configuration": True},
                    "experimental": {"warmline": dict.fromkeys(self.announces, True)},
                    **(capabilities or {}),
                },
                "initializationOptions": {"debounceMs": 0, **options},
            },
        )
        await self.answer(asked)
        self.notify("initialized", {})

    async def ready(self) -> None:
        await self.until(lambda: self.status().get("state") == "ready")

    def open(self, uri: str = URI, text: str = "", language: str = "python") -> None:
        document = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def change(
        self, version: int, at: tuple[int, int], text: str, uri: str = URI, remove: int = 0
    ) -> None:
        line, character = at
        end = {"line": line, "character": character + remove}
        where = {"start": {"line": line, "character": character}, "end": end}
        self.notify(
            "textDocument/didChange",
            {
                "textDocument": {"uri": uri, "version": version},
                "contentChanges": [{"range": where, "text": text}],
            },
        )

    def ask(
        self,
        at: tuple[int, int],
        uri: str = URI,
        is_automatic: bool = False,
        selected: dict[str, Any] | None = None,
    ) -> int:
        return self.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": uri},
                "position": {"line": at[0], "character": at[1]},
                "context": {
                    "triggerKind": 2 if is_automatic else 1,
                    **({"selectedCompletionInfo": selected} if selected else {}),
                },
            },
        )

    async def texts(self, request_id: int) -> list[str]:
        return [item["insertText"] for item in (await self.answer(request_id))["items"]]

    def of(self, method: str) -> list[Any]:
        return [message["params"] for message in self.told if message["method"] == method]

    def status(self) -> dict[str, Any]:
        statuses = self.of("warmline/status")
        return statuses[-1] if statuses else {}

    def traces(self, event: str) -> int:
        return sum(params["message"] == event for params in self.of("$/logTrace"))

    async def statistics(self) -> dict[str, Any]:
        return await self.answer(self.request("warmline/statistics", {}))


@asynccontextmanager
async def window(
    prepare: Callable[[FakeEditor], None] = lambda _: None, **options: Any
) -> AsyncIterator[FakeEditor]:
    """A window that is ended with the test; no request of it may have been answered twice, or not at all."""
    found = FakeEditor()
    prepare(found)
    try:
        await found.begin(**options)
        yield found
    finally:
        await found.answer(found.request("shutdown", None))
        n_sent = next(found._ids) - 1
        asked = range(1, n_sent + 1)
        await found.until(lambda: all(found.answers[request_id] for request_id in asked))
        assert all(len(found.answers[request_id]) == 1 for request_id in asked)
        found.server.shutdown()
