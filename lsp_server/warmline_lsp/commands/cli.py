"""The command `warmline`."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import logging
import os
import sys

from warmline_lsp.errors import ServerError
from warmline_protocol import processes
from warmline_protocol.broken_pipe import ends_with_reader
from warmline_protocol.folders import clean_own_environment
from warmline_protocol.model_names import typed

from . import cache_command, doctor

# commands that need the engine's libraries run in a separate process: module and purpose of each
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
            # that command parses the rest, --help included; relative paths start in the current folder
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
                return cache_command.show() if options.action == "show" else cache_command.clear()
            case _:
                return doctor.check(_version())
    except ServerError as error:
        print(f"warmline: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise  # the reader of the output is gone, which is no error
    except OSError as error:
        print(f"warmline: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _lsp(options: argparse.Namespace) -> int:
    from warmline_lsp.lsp.features import make_server

    # no relative path starts in the workspace, and its folder can be removed
    os.chdir(processes.neutral_folder())
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    # pygls logs whole messages, which contain the user's text
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
    server = make_server()
    if options.tcp is None:
        server.start_io()
    else:
        server.start_tcp("127.0.0.1", options.tcp)
    return 0


def _version() -> str:
    try:
        return importlib.metadata.version("warmline")
    except importlib.metadata.PackageNotFoundError:
        return "0.2.0 (not installed)"


if __name__ == "__main__":
    raise SystemExit(main())
