"""Where the server finds engines on this machine: their folder and sockets."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from warmline_lsp.errors import EngineUnavailable
from warmline_protocol.folders import (
    Candidate,
    PlaceError,
    base_folder,
    home_folder,
    temporary,
    usable_folder,
)
from warmline_protocol.wire import PROTOCOL_VERSION

SOCKET_BYTES = 100  # the path of a Unix socket may not be much longer
N_DIGITS = 12  # of an engine's name


def runtime_folder() -> Path:
    """The folder for the engines' sockets; made for this user alone.

    Raises: EngineUnavailable, if no folder can be used.
    """
    try:
        return usable_folder("sockets", filter(_is_short, _candidates()))
    except PlaceError as error:
        raise EngineUnavailable(str(error)) from None


def engine_name(options: tuple[object, ...]) -> str:
    """Twelve hex digits that two windows share when one engine can serve both."""
    user = os.environ.get("USERNAME", "") if sys.platform == "win32" else str(os.getuid())
    parts = (user, PROTOCOL_VERSION, sys.prefix, *options)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:N_DIGITS]


def socket_path(options: tuple[object, ...]) -> Path:
    """The socket of the engine with these options.

    Raises: EngineUnavailable, if no folder can be used.
    """
    return runtime_folder() / f"{engine_name(options)}.sock"


def _candidates() -> Iterator[Candidate]:
    if sys.platform == "win32":
        home = home_folder()
        for base in (base_folder("LOCALAPPDATA"), home and home / "AppData/Local"):
            if base:
                yield (base / "warmline/run",)
    elif sys.platform == "darwin":
        if home := home_folder():
            yield (home / "Library/Caches/warmline", home / "Library/Caches/warmline/run")
    elif (base := base_folder("XDG_RUNTIME_DIR")) and _is_own(base):
        yield (base / "warmline",)
    yield from temporary()


def _is_own(folder: Path) -> bool:
    """Whether a folder is there and this user's, as XDG_RUNTIME_DIR has to be."""
    try:
        return folder.is_dir() and folder.stat().st_uid == os.getuid()
    except OSError:
        return False


def _is_short(candidate: Candidate) -> bool:
    if sys.platform == "win32":
        return True
    return len(os.fsencode(candidate[-1])) + len("/.sock") + N_DIGITS <= SOCKET_BYTES
