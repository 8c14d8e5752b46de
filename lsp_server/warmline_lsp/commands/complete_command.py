"""`warmline complete`: one completion at a place in a file, with what of other files the model was shown."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

import attrs

from warmline_lsp.documents.documents import Document
from warmline_lsp.documents.workspace import project_of
from warmline_lsp.engine.engine_client import EngineClient
from warmline_lsp.engine.engine_state import EngineState, Phase
from warmline_lsp.errors import ServerError
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire
from warmline_protocol.safe_open import TooLarge, read_regular

MAX_BYTES = 16 * 1024 * 1024
CONTEXT_WITHIN_S = 60.0  # after that it is done with what has been found


async def complete(options: argparse.Namespace) -> int:
    """The exit status.

    Raises: ServerError.
    """
    path, line, column = _parse_place(options.place)
    if not 4 <= options.max_tokens <= 512:
        raise ServerError(f"--max-tokens: expected 4 to 512, got {options.max_tokens}")
    language = "python" if path.suffix in (".py", ".pyi", ".pyw") else "plaintext"
    document = Document.open(path.as_uri(), language, 1, _read_text(path), "utf-32")
    n_lines = len(document.line_starts)
    if n_lines < line:
        raise ServerError(f"{path.name} has {n_lines} lines, not {line}")
    n_columns = len(document.line(line - 1)) + 1
    if n_columns < column:
        raise ServerError(f"line {line} of {path.name} has {n_columns} columns, not {column}")
    offset = document.line_starts[line - 1] + column - 1
    settled = asyncio.Event()

    def changed(state: EngineState) -> None:
        if state.state in (Phase.READY, Phase.FAILED):
            settled.set()

    settings = Settings(model=options.model)
    root = project_of(path)
    if settings.is_excluded(document.uri, str(root or "")):
        raise ServerError(f"{path.name} is excluded because it may contain secrets")
    opening = wire.Open(
        document.uri, document.language, 1, document.text, offset,
        excluded=settings.excluded_globs,
    )  # fmt: skip
    if root is not None:
        below = path.relative_to(root).as_posix()
        opening = attrs.evolve(opening, root=str(root), path=below)
    engine = EngineClient(settings, lambda: [opening], changed)
    engine.start()
    try:
        await asyncio.wait_for(settled.wait(), timeout=120)
        if not engine.is_ready:
            raise ServerError(engine.state.message)
        context = await _settled_context(engine, document.uri)
        answer = await engine.complete(
            wire.Complete(
                0,
                document.uri,
                1,
                offset,
                max_tokens=options.max_tokens,
                max_lines=settings.max_lines,
            )
        )
    except TimeoutError:
        raise ServerError(f"the engine is not ready: {engine.state.message}") from None
    finally:
        await engine.stop()
    if answer is None:
        raise ServerError("the engine did not answer; `warmline doctor` shows where its log is")
    suggested = answer.items[0].text if answer.items else ""
    if options.json:
        result = {
            "text": suggested,
            "untrimmed": answer.generated_text,
            "stop": answer.stop,
            "tokens": answer.n_tokens,
            "fresh": answer.n_fresh,
            "encoded": answer.n_encoded,
            "generated": answer.n_generated,
            "elapsed_ms": round(answer.elapsed_ms, 1),
            "first_token_ms": round(answer.first_token_ms, 1),
            "context": [_shown_item(item) for item in context.items],
        }
        print(json.dumps(result))
    else:
        for item in context.items if options.show_context else ():
            print(
                f"{item.path}:{item.line + 1}: {item.name or '...'} ({item.why}), {item.n_tokens} tokens"
            )
        print(suggested)
    return 0


async def _settled_context(engine: EngineClient, uri: str) -> wire.Context:
    """What was found in other files, once the workspace has been looked through."""
    begin, is_notified = time.monotonic(), False
    while True:
        context = await engine.ask_context(uri)
        if context is None:
            raise ServerError("the engine did not answer; `warmline doctor` shows where its log is")
        waited = time.monotonic() - begin
        if context.state != "looking" or waited > CONTEXT_WITHIN_S:
            return context
        if waited > 1 and not is_notified:
            is_notified = True
            print("warmline: searching the workspace ...", file=sys.stderr)
        await asyncio.sleep(0.05)


def _shown_item(item: wire.ContextItem) -> dict[str, object]:
    return {
        "path": item.path,
        "line": item.line + 1,
        "name": item.name,
        "why": item.why,
        "tokens": item.n_tokens,
    }


def _parse_place(place: str) -> tuple[Path, int, int]:
    name, line, column = (*place.rsplit(":", 2), "", "")[:3]
    if not name or not line.isdecimal() or not column.isdecimal() or "0" in (line, column):
        raise ServerError(f"expected FILE:LINE:COL, counted from 1, got {place!r}")
    return Path(name).resolve(), int(line), int(column)


def _read_text(path: Path) -> str:
    try:
        return read_regular(path, MAX_BYTES).decode("utf-8")
    except FileNotFoundError:
        raise ServerError(f"{path} does not exist") from None
    except TooLarge:
        raise ServerError(f"{path} is larger than {MAX_BYTES} bytes") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ServerError(f"cannot read {path} as UTF-8 text: {error}") from None
