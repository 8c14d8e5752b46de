"""How fast the server starts and answers: `make bench NAME=server`.

Spawn until `initialize` is answered, beside a bare pygls server in the same run, in turns; a request that the
server answers itself, sent right behind a `didChange` and a completion while the engine is busy; and completions
themselves, each asked for while the engine reads another long file; and what is typed in one file, until it stands in
the context of another.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

BARE = "from pygls.lsp.server import LanguageServer; LanguageServer('bare', '1').start_io()"
URI, OTHER = "file:///project/long.py", "file:///project/other.py"
N_LINES = 8000
N_OTHERS = 200  # files of the workspace that is searched
TEXT = "".join(f"value_{k} = compute({k}, [item for item in range({k})])\n" for k in range(N_LINES))


async def start_ms(environment: dict[str, str], *command: str) -> float:
    """From spawn until `initialize` is answered."""
    client = quiet_client()
    begin = time.perf_counter()
    await client.start_io(sys.executable, *command, env=environment)
    await client.initialize_async(types.InitializeParams(types.ClientCapabilities()))
    elapsed = (time.perf_counter() - begin) * 1000
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()
    return elapsed


def quiet_client() -> LanguageClient:
    client = LanguageClient("bench", "1")
    for method in ("warmline/status", "warmline/encoded", types.WINDOW_LOG_MESSAGE):
        client.feature(method)(lambda params: None)
    return client


class Editor:
    """A client with one long file open, on a server whose engine is ready."""

    def __init__(self) -> None:
        self.client = LanguageClient("bench", "1")
        self.version = 1
        self._ready = asyncio.Event()

        @self.client.feature("warmline/status")
        def _(params: Any) -> None:
            if params.state == "ready":
                self._ready.set()

        for method in ("warmline/encoded", types.WINDOW_LOG_MESSAGE):
            self.client.feature(method)(lambda params: None)

    async def start(self, environment: dict[str, str], root: Path | None = None) -> None:
        await self.client.start_io(sys.executable, "-m", "warmline_lsp", "lsp", env=environment)
        options = {"debounceMs": 0, "idleExitMinutes": 0.05}
        folders = [types.WorkspaceFolder(root.as_uri(), root.name)] if root else None
        wanted = types.ClientCapabilities(experimental={"warmline": {"status": True}})
        parameters = types.InitializeParams(
            wanted, initialization_options=options, workspace_folders=folders
        )
        await self.client.initialize_async(parameters)
        self.client.initialized(types.InitializedParams())
        await asyncio.wait_for(self._ready.wait(), 120)
        if root is None:
            self.open(URI)

    async def stop(self) -> None:
        await self.client.shutdown_async(None)
        self.client.exit(None)
        await self.client.stop()

    def open(self, uri: str, text: str = TEXT) -> None:
        item = types.TextDocumentItem(uri, "python", 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def close(self, uri: str) -> None:
        identifier = types.TextDocumentIdentifier(uri)
        self.client.text_document_did_close(types.DidCloseTextDocumentParams(identifier))

    def read(self, uri: str) -> None:
        """Keeps the engine busy: with a cursor in it, a document is read."""
        cursor = {"textDocument": {"uri": uri}, "position": {"line": N_LINES // 2, "character": 0}}
        self.client.protocol.notify("warmline/didMoveCursor", cursor)

    def type_and_ask(self, line: int) -> asyncio.Future[Any]:
        place = types.Position(line, 0)
        change = types.TextDocumentContentChangePartial(types.Range(place, place), "x")
        self.version += 1
        identifier = types.VersionedTextDocumentIdentifier(self.version, URI)
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(identifier, [change])
        )
        asked = self.client.text_document_inline_completion_async(
            types.InlineCompletionParams(
                types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked),
                types.TextDocumentIdentifier(URI),
                types.Position(line, 1),
            )
        )
        return asyncio.ensure_future(asked)


async def answers_ms(environment: dict[str, str], n_requests: int) -> list[float]:
    """What the server answers itself, while the engine is never left to finish."""
    editor, times = Editor(), list[float]()
    await editor.start(environment)
    for k in range(n_requests):
        task = editor.type_and_ask(k % N_LINES)
        begin = time.perf_counter()
        await editor.client.protocol.send_request_async("warmline/statistics", {})
        times.append((time.perf_counter() - begin) * 1000)
        task.add_done_callback(lambda done: done.exception())
        await asyncio.sleep(0.01)
    await editor.stop()
    return times


async def completions_ms(environment: dict[str, str], n_requests: int) -> list[float]:
    """Completions, from the change to the answer, while the engine reads another file."""
    editor, times = Editor(), list[float]()
    await editor.start(environment)
    for k in range(n_requests):
        editor.open(OTHER)
        editor.read(OTHER)
        await asyncio.sleep(0.1)  # it has started and is not done
        begin = time.perf_counter()
        await editor.type_and_ask(N_LINES // 2 + k % 50)
        times.append((time.perf_counter() - begin) * 1000)
        editor.close(OTHER)
    await editor.stop()
    return times[1:]  # with the first the place itself is read


async def found_ms(environment: dict[str, str], root: Path, n_edits: int) -> list[float]:
    """From a definition typed in one open file until it stands in the context of another, where the cursor moves."""
    shapes, use = ((root / name).as_uri() for name in ("shapes.py", "use.py"))
    definition, editor, times = (
        "def area(side_{}):\n    return side_{} ** 2\n",
        Editor(),
        list[float](),
    )
    for k in range(N_OTHERS):
        (root / f"other_{k}.py").write_text(f"def other_{k}(value):\n    return value + {k}\n")
    (root / "shapes.py").write_text(definition.format(0, 0))
    await editor.start(environment, root)
    editor.open(use, "from shapes import area\n\n\nx = ")
    editor.open(shapes, definition.format(0, 0))
    whole = types.Range(types.Position(0, 0), types.Position(3, 0))
    for k in range(n_edits + 1):
        identifier = types.VersionedTextDocumentIdentifier(k + 2, shapes)
        change = types.TextDocumentContentChangePartial(whole, definition.format(k, k))
        begin = time.perf_counter()
        editor.client.text_document_did_change(
            types.DidChangeTextDocumentParams(identifier, [change])
        )
        # to and fro: a cursor that stays asks for nothing
        place = {"textDocument": {"uri": use}, "position": {"line": 3, "character": 3 + k % 2}}
        editor.client.protocol.notify("warmline/didMoveCursor", place)
        async with asyncio.timeout(60):
            while not await _is_shown(editor, use, f"side_{k} ** 2"):
                await asyncio.sleep(0.005)
        times.append((time.perf_counter() - begin) * 1000)
    await editor.stop()
    return times[1:]  # before the first the workspace is read


async def _is_shown(editor: Editor, uri: str, part: str) -> bool:
    context = await editor.client.protocol.send_request_async("warmline/context", {"uri": uri})
    return any(part in item.text for item in (context.items if context else None) or ())


async def measure(options: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="wl") as folder:
        environment = {**os.environ, "XDG_RUNTIME_DIR": folder, "XDG_CACHE_HOME": folder}
        ours, bare = list[float](), list[float]()
        for _ in range(options.starts):
            bare.append(await start_ms(environment, "-c", BARE))
            ours.append(await start_ms(environment, "-m", "warmline_lsp", "lsp"))
        answers = sorted(await answers_ms(environment, options.requests))
        completions = sorted(await completions_ms(environment, options.completions))
        root = Path(folder) / "project"
        root.mkdir()
        found = sorted(await found_ms(environment, root, options.edits))
    return {
        "bare_start_ms": statistics.median(bare),
        "start_ms": statistics.median(ours),
        "start_ratio": statistics.median(ours) / statistics.median(bare),
        "answer_p50_ms": statistics.median(answers),
        "answer_p99_ms": answers[int(0.99 * len(answers))],
        "completion_p50_ms": statistics.median(completions),
        "completion_p99_ms": completions[int(0.99 * len(completions))],
        "found_p50_ms": statistics.median(found),
        "found_p95_ms": found[int(0.95 * len(found))],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=15)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--completions", type=int, default=100)
    parser.add_argument("--edits", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(measure(options))
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"spawn to initialize: {found['start_ms']:.0f} ms, a bare pygls server {found['bare_start_ms']:.0f} ms,"
    )
    print(f"  ratio {found['start_ratio']:.2f} (goal: at most 1.3)")
    print(
        f"answers with the engine busy: p50 {found['answer_p50_ms']:.1f} ms, p99 {found['answer_p99_ms']:.1f} ms"
    )
    print("  (goal: p99 under 50 ms)")
    print(
        f"completions while another file is read: p50 {found['completion_p50_ms']:.0f} ms, "
        f"p99 {found['completion_p99_ms']:.0f} ms, all of their tokens generated"
    )
    print(
        f"typed in one file, shown to the model in another: p50 {found['found_p50_ms']:.0f} ms, "
        f"p95 {found['found_p95_ms']:.0f} ms (goal: under 200 ms)"
    )


if __name__ == "__main__":
    main()
