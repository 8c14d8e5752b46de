"""The command `warmline`."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import importlib.util
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

from warmline_engine import wire

from . import places
from .errors import ServerError
from .settings import Settings


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="warmline",
        description="Inline code completion that keeps the open file in the model's cache. All of it is local.",
    )
    parser.add_argument("--version", action="version", version=f"warmline {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    lsp = commands.add_parser("lsp", help="the language server, on standard input and output")
    lsp.add_argument("--tcp", metavar="PORT", type=int, help="listen on this loopback port instead")
    lsp.add_argument("--verbose", action="store_true", help="log more; still none of your text")

    engine = commands.add_parser(
        "engine", help="the engine process; started by the server by itself", add_help=False
    )
    engine.add_argument("arguments", nargs=argparse.REMAINDER)

    complete = commands.add_parser("complete", help="complete once, at a place in a file")
    complete.add_argument("place", metavar="FILE:LINE:COL", help="line and column count from 1")
    complete.add_argument(
        "--model", default="small", help="embedded name, folder or Hugging Face id"
    )
    complete.add_argument("--max-tokens", type=int, default=96)
    complete.add_argument(
        "--json", action="store_true", help="text, stop, tokens and times as one object"
    )

    bench = commands.add_parser("bench", help="measure on this machine", add_help=False)
    bench.add_argument("arguments", nargs=argparse.REMAINDER)

    evaluate = commands.add_parser(
        "eval", help="measure what editing the cache costs in quality", add_help=False
    )
    evaluate.add_argument("arguments", nargs=argparse.REMAINDER)

    models = commands.add_parser("models", help="list, show, pull, path", add_help=False)
    models.add_argument("arguments", nargs=argparse.REMAINDER)

    cache = commands.add_parser("cache", help="what Warmline keeps on disk")
    cache.add_argument("action", choices=("show", "clear"))

    commands.add_parser("doctor", help="what is here, what is missing, what to do")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; the exit status."""
    options = make_parser().parse_args(arguments)
    try:
        match options.command:
            case "lsp":
                return _lsp(options)
            case "engine":
                return subprocess.call(
                    [sys.executable, "-m", "warmline_engine.service", *options.arguments]
                )
            case "bench":
                return subprocess.call(
                    [sys.executable, "-m", "warmline_engine.bench", *options.arguments]
                )
            case "eval":
                module = "warmline_engine.evaluation.command"
                return subprocess.call([sys.executable, "-m", module, *options.arguments])
            case "models":
                return subprocess.call(
                    [sys.executable, "-m", "warmline_engine.model.library", *options.arguments]
                )
            case "complete":
                return asyncio.run(_complete(options))
            case "cache":
                return _cache(options.action)
            case _:
                return _doctor()
    except ServerError as error:
        print(f"warmline: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _lsp(options: argparse.Namespace) -> int:
    from .features import make_server

    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # pygls logs whole messages, and with them the user's text
    logging.getLogger("pygls").setLevel(logging.ERROR)
    server = make_server()
    if options.tcp is None:
        server.start_io()
    else:
        server.start_tcp("127.0.0.1", options.tcp)
    return 0


async def _complete(options: argparse.Namespace) -> int:
    from .documents import Document
    from .engine_client import EngineClient, EngineState
    from .trim import trim

    path, line, column = _parse_place(options.place)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ServerError(f"{path} cannot be read: {error}") from None
    document = Document.open(path.as_uri(), "python", 1, text, "utf-32")
    if len(document.line_starts) < line:
        raise ServerError(f"{path.name} has {len(document.line_starts)} lines, not {line}")
    offset = document.line_starts[line - 1] + min(column - 1, len(document.line(line - 1)))
    settled = asyncio.Event()

    def changed(state: EngineState) -> None:
        if state.state in ("ready", "failed"):
            settled.set()

    settings = Settings(model=options.model)
    if settings.is_excluded(document.uri):
        raise ServerError(f"{path.name} is excluded: it may hold secrets")
    opening = wire.Open(document.uri, document.language, 1, document.text, offset)
    engine = EngineClient(settings, lambda: [opening], changed)
    engine.start()
    try:
        await asyncio.wait_for(settled.wait(), timeout=120)
        if not engine.is_ready:
            raise ServerError(engine.state.message)
        answer = await engine.complete(
            wire.Complete(0, document.uri, 1, offset, max_tokens=options.max_tokens)
        )
    except TimeoutError:
        raise ServerError(f"the engine is not ready: {engine.state.message}") from None
    finally:
        await engine.stop()
    if answer is None:
        raise ServerError("the engine gave no answer; see its log with warmline doctor")
    raw = answer.items[0].text if answer.items else ""
    offered = trim(document.language, document.text, offset, raw, settings.max_lines)
    if options.json:
        result = {
            "text": offered,
            "untrimmed": raw,
            "stop": answer.stop,
            "tokens": answer.n_tokens,
            "fresh": answer.n_fresh,
            "encoded": answer.n_encoded,
            "generated": answer.n_generated,
            "elapsed_ms": round(answer.elapsed_ms, 1),
            "first_token_ms": round(answer.first_token_ms, 1),
        }
        print(json.dumps(result))
    else:
        print(offered)
    return 0


def _parse_place(place: str) -> tuple[Path, int, int]:
    name, line, column = (*place.rsplit(":", 2), "", "")[:3]
    if not name or not line.isdecimal() or not column.isdecimal() or "0" in (line, column):
        raise ServerError(f"expected FILE:LINE:COL, counted from 1, got {place!r}")
    return Path(name).resolve(), int(line), int(column)


def _cache(action: str) -> int:
    folder = places.cache_folder()
    files = [path for path in folder.rglob("*") if path.is_file()]
    n_bytes = sum(path.stat().st_size for path in files)
    if action == "show":
        print(f"{folder}: {len(files)} files, {_size(n_bytes)}")
        for path in sorted(files):
            print(f"  {_size(path.stat().st_size):>9}  {path.relative_to(folder)}")
        return 0
    for child in folder.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
        else:
            child.unlink()
    print(f"{folder}: {_size(n_bytes)} freed")
    return 0


def _doctor() -> int:
    print(f"warmline {_version()}, Python {sys.version.split()[0]}")
    problems = 0
    for name, purpose in (
        ("torch", "the engine computes with it; pip install torch"),
        ("tokenizers", "text to tokens; pip install tokenizers"),
        ("safetensors", "reads weights; pip install safetensors"),
        ("tree_sitter_python", "cuts completions at statements; pip install tree-sitter-python"),
    ):
        found = importlib.util.find_spec(name) is not None
        problems += not found
        print(f"  {'ok     ' if found else 'MISSING'} {name}: {purpose}")
    spec = importlib.util.find_spec("warmline_engine")
    models = Path(str(spec.origin)).parent / "models" if spec else Path()
    names = sorted(path.parent.name for path in models.glob("*/model.safetensors"))
    print(f"  {'ok     ' if names else 'MISSING'} embedded models: {', '.join(names) or 'none'}")
    for title, folder in (("cache", places.cache_folder()), ("sockets", places.runtime_folder())):
        n_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"  {title}: {folder}, {_size(n_bytes)}")
    running = sorted(places.runtime_folder().glob("*.sock"))
    print(f"  engines met at: {', '.join(path.name for path in running) or 'none running'}")
    print("  GPU kernels: unverified; make gpu-check has not been run on a GPU")
    print("all is well" if not problems and names else "mend what is marked MISSING")
    return 0 if not problems and names else 1


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.1f} MiB" if n_bytes >= 2**20 else f"{n_bytes / 2**10:.1f} KiB"


def _version() -> str:
    try:
        return importlib.metadata.version("warmline")
    except importlib.metadata.PackageNotFoundError:
        return "0.1.0 (not installed)"


if __name__ == "__main__":
    raise SystemExit(main())
