"""The command `warmline`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from warmline_lsp.engine import socket_paths
from warmline_lsp.engine.engine_process import log_path
from warmline_lsp.errors import ServerError
from warmline_protocol import processes
from warmline_protocol.broken_pipe import ends_with_reader
from warmline_protocol.folders import (
    base_folder,
    cache_folder,
    clean_own_environment,
    home_folder,
    owner_of,
)
from warmline_protocol.model_names import typed

# commands that run in a process of their own, with the engine's libraries: their module, and what they are for
PASSED_ON = {
    "engine": (
        "warmline_engine.process.service",
        "run an engine; needed only to serve other machines (--listen)",
    ),
    "models": ("warmline_engine.model.hub.library", "list, show and download models"),
    "index": (
        "warmline_engine.retrieval.index_command",
        "index the new and changed files of a workspace",
    ),
    "search": ("warmline_engine.retrieval.search_command", "search a workspace for code"),
}


REPORT_WITHIN_S = 60.0  # of the engine, for the doctor; a slow disk is read for the first time


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="warmline",
        description="Inline code completion that edits the model's cache as you edit. Everything runs locally.",
    )
    parser.add_argument("--version", action="version", version=f"warmline {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    lsp = commands.add_parser(
        "lsp",
        help="run the language server on standard input and output",
        description="Runs the language server (LSP 3.18). It starts the engine if none is running.",
    )
    lsp.add_argument(
        "--tcp",
        metavar="PORT",
        type=int,
        help="listen on this loopback port instead of standard input",
    )
    lsp.add_argument("--verbose", action="store_true", help="log more (but none of your text)")

    complete = commands.add_parser(
        "complete",
        help="print one completion",
        description="Prints the completion at a position of a file. --json adds details; see docs/command-line.md.",
    )
    complete.add_argument(
        "place", metavar="FILE:LINE:COL", help="the position; line and column start at 1"
    )
    complete.add_argument(
        "--model",
        type=typed,
        default="base",
        help="an embedded model, a Hugging Face id, or a folder (./x, ~/x, /x)",
    )
    complete.add_argument(
        "--max-tokens",
        type=int,
        default=96,
        metavar="N",
        help="maximum length of the completion in tokens, 4 to 512 (default: 96)",
    )
    complete.add_argument(
        "--show-context",
        action="store_true",
        help="also print the code from other files that the model saw",
    )
    complete.add_argument(
        "--json",
        action="store_true",
        help="print a JSON object with text, stop reason, tokens and times",
    )

    for name, (_, purpose) in PASSED_ON.items():
        commands.add_parser(name, help=purpose, add_help=False)

    cache = commands.add_parser(
        "cache",
        help="show or clear the files that Warmline keeps on disk",
        description="Shows or clears logs, indexes and caches. Downloaded models are in Hugging Face's own folder.",
    )
    cache.add_argument(
        "action", choices=("show", "clear"), help="show: list files and sizes; clear: remove them"
    )

    commands.add_parser("doctor", help="check the installation and say how to fix it")
    return parser


@ends_with_reader
def main(arguments: list[str] | None = None) -> int:
    """Runs a command; the exit status."""
    if arguments is None:
        processes.forget_current_folder()
        processes.secure()
        arguments = sys.argv[1:]
    clean_own_environment()
    if arguments and arguments[0] in PASSED_ON:
        module, _ = PASSED_ON[arguments[0]]
        try:
            # its own parser reads the rest, --help included; paths that were typed begin in the current folder
            return processes.call(processes.python("-m", module, *arguments[1:]), folder=".")
        except KeyboardInterrupt:
            return 130
    options = make_parser().parse_args(arguments)
    try:
        match options.command:
            case "lsp":
                return _lsp(options)
            case "complete":
                from .complete_command import complete

                return asyncio.run(complete(options))
            case "cache":
                return _cache(options.action)
            case _:
                return _doctor()
    except ServerError as error:
        print(f"warmline: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise  # who reads the output is gone, which is no error
    except OSError as error:
        print(f"warmline: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _lsp(options: argparse.Namespace) -> int:
    from warmline_lsp.lsp.features import make_server

    # no path begins in the workspace, and its folder is free to be removed
    os.chdir(processes.neutral_folder())
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # pygls logs whole messages, and with them the user's text
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
    server = make_server()
    if options.tcp is None:
        server.start_io()
    else:
        server.start_tcp("127.0.0.1", options.tcp)
    return 0


def _cache(action: str) -> int:
    folder = cache_folder()
    files = _files_in(folder)
    n_bytes = sum(files.values())
    if action == "show":
        print(f"{folder}: {len(files)} files, {_size(n_bytes)}")
        for line in _shown(folder, files):
            print(line)
        return 0
    for child in folder.iterdir():
        # a link is removed, never what it points to
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink(missing_ok=True)
    print(f"{folder}: {_size(n_bytes)} freed")
    return 0


def _shown(folder: Path, files: dict[Path, int]) -> Iterator[str]:
    """A line for each file, and one for all chunks of a model, with what they belong to."""
    of_models: dict[Path, int] = {}
    for path, size in files.items():
        below = path.relative_to(folder)
        if below.parts[:1] == ("chunks",) and len(below.parts) > 2:
            of_models[path.parent] = of_models.get(path.parent, 0) + size
            continue
        owner = ""
        if below.parts[:1] == ("index",):
            owner = (
                f"  (workspace {owner_of(path.with_name(below.name.partition('.')[0])) or UNKNOWN})"
            )
        yield f"  {_size(size):>9}  {below}{owner}"
    for model, size in of_models.items():
        yield f"  {_size(size):>9}  {model.relative_to(folder)}{os.sep}  (model {owner_of(model) or UNKNOWN})"


UNKNOWN = "unknown: written by an older version"


def _files_in(folder: Path) -> dict[Path, int]:
    """Files below a folder and their bytes; one that goes meanwhile is left out."""
    found: dict[Path, int] = {}
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                found[path] = path.stat().st_size
    return found


def _doctor() -> int:
    print(f"warmline {_version()}, Python {sys.version.split()[0]} at {sys.executable}")
    missing: list[str] = []
    for name, purpose, remedy in (
        ("torch", "runs the models", "pip install torch"),
        ("tokenizers", "converts text to tokens", "pip install tokenizers"),
        ("safetensors", "reads model weights", "pip install safetensors"),
        ("tree_sitter_python", "parses Python", "pip install tree-sitter-python"),
    ):
        if importlib.util.find_spec(name) is None:
            missing.append(remedy)
            print(f"  MISSING {name}: {purpose}")
        else:
            print(f"  ok      {name}: {purpose}")
    try:
        engine = engine_report()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        engine = None
        missing.append("reinstall Warmline: its engine does not start")
        print(f"  MISSING the engine: {error}")
    else:
        missing += _print_engine(engine)
    print("folders:")
    sockets = None
    for title, find in (
        *([("models in the package", lambda: Path(engine["models_folder"]))] if engine else []),
        ("downloaded models", _downloads),
        ("cache and logs", cache_folder),
        ("sockets", socket_paths.runtime_folder),
    ):
        try:
            folder = find()
            size = _size(sum(_files_in(folder).values())) if folder.is_dir() else "missing"
            print(f"  {title}: {folder}, {size}")
        except (OSError, ServerError) as error:
            missing.append(f"{title}: {error}")
            print(f"  MISSING {title}: {error}")
        else:
            sockets = folder if title == "sockets" else None
    for path in sorted(sockets.glob("*.sock")) if sockets else ():
        state = (
            "running" if _is_answered(path) else "not running; the next engine removes its socket"
        )
        log = log_path(path)
        print(f"engine {path.stem}: {state}; {f'log {log}' if log else 'no log'}")
    for remedy in missing:
        print(f"to do: {remedy}")
    print("problems found" if missing else "everything is fine")
    return 1 if missing else 0


def engine_report() -> dict[str, Any]:
    """What the engine reports about itself, in a process of its own: see `warmline_engine.process.doctor`.

    Raises: OSError, ValueError, subprocess.SubprocessError.
    """
    command = processes.python("-m", "warmline_engine.process.doctor")
    found = processes.run(command, capture_output=True, timeout=REPORT_WITHIN_S, check=True)
    report: dict[str, Any] = json.loads(found.stdout)
    return report


def _print_engine(report: dict[str, Any]) -> list[str]:
    """Prints a report of the engine; what is to be done."""
    missing: list[str] = []
    if report["models"]:
        print(f"  ok      embedded models: {', '.join(report['models'])}")
    else:
        missing.append("reinstall Warmline: its models are missing")
        print("  MISSING embedded models")
    kernels = report["cpu_kernels"]
    print(
        f"  ok      CPU kernels: {kernels}"
        if kernels
        else "  ok      CPU kernels: none for this machine; using torch's slower ones"
    )
    gpu = report["gpu"]
    if gpu:
        off = (
            f"; off, because unverified: {', '.join(gpu['unchecked'])}" if gpu["unchecked"] else ""
        )
        where = f"{gpu['device']}, {gpu['date']}, commit {gpu['commit']}"
        print(f"  ok      GPU kernels: checked on {where}{off}")
    else:
        print("  ok      GPU kernels: off, because unverified; run make gpu-check")
    return missing


def _downloads() -> Path:
    named, home = os.environ.get("HF_HOME"), home_folder()
    if named:
        return Path(named).expanduser() / "hub"
    cache = base_folder("XDG_CACHE_HOME") or (home or Path("/nonexistent")) / ".cache"
    return cache / "huggingface/hub"


def _is_answered(path: Path) -> bool:
    if sys.platform == "win32":
        return True  # its file holds a port, and goes with the engine
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(2)
        connection.connect(str(path))
        return True
    return False


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.1f} MiB" if n_bytes >= 2**20 else f"{n_bytes / 2**10:.1f} KiB"


def _version() -> str:
    try:
        return importlib.metadata.version("warmline")
    except importlib.metadata.PackageNotFoundError:
        return "0.2.0 (not installed)"


if __name__ == "__main__":
    raise SystemExit(main())
