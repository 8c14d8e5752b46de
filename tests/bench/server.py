"""How fast the server starts and answers: `make bench-server`.

Spawn until `initialize` is answered, beside a bare pygls server in the same run, in turns; and a request
sent right behind a `didChange` while the engine is busy reading a long file.
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
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

BARE = "from pygls.lsp.server import LanguageServer; LanguageServer('bare', '1').start_io()"
URI = "file:///project/long.py"


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


async def answers_ms(environment: dict[str, str], n_requests: int) -> list[float]:
    """A request behind each change, while the engine reads 8,000 lines it is never left to finish."""
    client = LanguageClient("bench", "1")
    ready = asyncio.Event()

    @client.feature("warmline/status")
    def _(params: Any) -> None:
        if params.state == "ready":
            ready.set()

    client.feature("warmline/encoded")(lambda params: None)
    await client.start_io(sys.executable, "-m", "warmline_lsp", "lsp", env=environment)
    options = {"debounceMs": 0, "idleExitMinutes": 0.05}
    parameters = types.InitializeParams(types.ClientCapabilities(), initialization_options=options)
    await client.initialize_async(parameters)
    client.initialized(types.InitializedParams())
    await asyncio.wait_for(ready.wait(), 120)
    text = "".join(
        f"value_{k} = compute({k}, [item for item in range({k})])\n" for k in range(8000)
    )
    item = types.TextDocumentItem(URI, "python", 1, text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(item))
    times: list[float] = []
    for k in range(n_requests):
        place = types.Position(k % 8000, 0)
        change = types.TextDocumentContentChangePartial(types.Range(place, place), "x")
        identifier = types.VersionedTextDocumentIdentifier(k + 2, URI)
        client.text_document_did_change(types.DidChangeTextDocumentParams(identifier, [change]))
        completion = client.text_document_inline_completion_async(
            types.InlineCompletionParams(
                types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked),
                types.TextDocumentIdentifier(URI),
                place,
            )
        )
        task = asyncio.ensure_future(completion)
        begin = time.perf_counter()
        await client.protocol.send_request_async("warmline/statistics", {})
        times.append((time.perf_counter() - begin) * 1000)
        task.add_done_callback(lambda done: done.exception())
        await asyncio.sleep(0.01)
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()
    return times


async def measure(options: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="wl") as folder:
        environment = {**os.environ, "XDG_RUNTIME_DIR": folder, "XDG_CACHE_HOME": folder}
        ours, bare = list[float](), list[float]()
        for _ in range(options.starts):
            bare.append(await start_ms(environment, "-c", BARE))
            ours.append(await start_ms(environment, "-m", "warmline_lsp", "lsp"))
        answers = sorted(await answers_ms(environment, options.requests))
    return {
        "bare_start_ms": statistics.median(bare),
        "start_ms": statistics.median(ours),
        "start_ratio": statistics.median(ours) / statistics.median(bare),
        "answer_p50_ms": statistics.median(answers),
        "answer_p99_ms": answers[int(0.99 * len(answers))],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=15)
    parser.add_argument("--requests", type=int, default=300)
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


if __name__ == "__main__":
    main()
