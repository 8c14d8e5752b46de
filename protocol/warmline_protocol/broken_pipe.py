"""Ends a command quietly when who reads its output goes away, as `head` does."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

CLOSED = 141  # what a shell reports for a program that SIGPIPE ended
_P = ParamSpec("_P")
_T = TypeVar("_T")


def ends_with_reader(main: Callable[_P, _T]) -> Callable[_P, _T]:
    """A command's `main` that exits with CLOSED, without a traceback, when its output cannot be written any more."""

    @functools.wraps(main)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            try:
                return main(*args, **kwargs)
            finally:  # also where argparse ends it: later the interpreter would report what cannot be written
                _flush()
        except OSError as error:
            if not _is_closed_pipe(error):
                raise
            _discard_output()
            raise SystemExit(CLOSED) from None

    return wrapped


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:  # pyright: ignore[reportUnnecessaryComparison]
            stream.flush()


def _is_closed_pipe(error: OSError) -> bool:
    # Windows has no EPIPE
    return isinstance(error, BrokenPipeError) or (
        sys.platform == "win32" and error.errno == errno.EINVAL
    )


def _discard_output() -> None:
    """What is left in buffers goes nowhere when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, AttributeError, ValueError):
            if stream is not None:  # pyright: ignore[reportUnnecessaryComparison]
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
