"""The command line of `warmline engine`."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from warmline_protocol.engine_options import EngineOptions, add_arguments
from warmline_protocol.remote_address import TOKEN_VARIABLE, RemoteError, token_path

from .connections.listener import Listener, make_listener


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="warmline engine", description="Runs an engine, which serves one model."
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", type=Path, metavar="PATH", help="listen on this Unix socket")
    where.add_argument(
        "--port-file",
        type=Path,
        metavar="FILE",
        help="listen on a loopback port; write port and token to FILE",
    )
    where.add_argument(
        "--listen", metavar="HOST:PORT",
        help="serve other machines: through ssh -L on a loopback address, with --cert on any other",
    )  # fmt: skip
    parser.add_argument(
        "--cert", type=Path, metavar="FILE", help="with --listen: the TLS certificate (PEM)"
    )
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="with --cert: its private key, if it is not in the same file",
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE",
        help=f"with --listen: the file with the token that clients must send. It is created if it is missing. The "
        f"environment variable {TOKEN_VARIABLE} takes precedence (default: {_token_place()})",
    )  # fmt: skip
    add_arguments(parser)
    # its default depends on --listen
    parser.set_defaults(idle_exit_minutes=None)
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="write a rotated log to FILE (default: standard error)",
    )
    return parser


def parse() -> tuple[argparse.Namespace, Listener | None]:
    """The options, and the listener for --listen. An error ends the process with a message."""
    parser = make_parser()
    options = parser.parse_args()
    listener = _listener(parser, options)
    if options.idle_exit_minutes is None:
        options.idle_exit_minutes = math.inf if listener else EngineOptions().idle_exit_minutes
    return options, listener


def _token_place() -> str:
    try:
        return str(token_path())
    except RemoteError:
        return "no usable folder"


def _listener(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Listener | None:
    if options.listen is None:
        if options.cert or options.key or options.token_file:
            parser.error("--cert, --key and --token-file need --listen")
        return None
    try:
        return make_listener(options.listen, options.cert, options.key, options.token_file)
    except RemoteError as error:
        parser.error(f"--listen: {error}")
