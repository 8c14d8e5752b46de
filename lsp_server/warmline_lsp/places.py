"""Where engines are met on this machine: their folder and sockets."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from pathlib import Path

from warmline_engine.wire import PROTOCOL_VERSION

from .errors import EngineError

SOCKET_BYTES = 100  # a Unix socket's path may not be much longer


def runtime_folder() -> Path:
    """The folder where engines are met; made for this user alone.

    Raises: EngineError, when it is there and somebody else's, or a link.
    """
    if "XDG_RUNTIME_DIR" in os.environ:
        folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "warmline"
    elif sys.platform == "darwin":
        folder = Path.home() / "Library/Caches/warmline/run"
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA", tempfile.gettempdir())) / "warmline/run"
    else:
        folder = Path(tempfile.gettempdir()) / f"warmline-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if sys.platform != "win32":
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise EngineError(
                f"{folder} is not a folder of this user; remove it or set XDG_RUNTIME_DIR"
            )
        if found.st_mode & 0o077:
            folder.chmod(0o700)
    return folder


def engine_name(options: tuple[object, ...]) -> str:
    """Twelve hex digits that two windows share when one engine can serve both."""
    user = os.environ.get("USERNAME", "") if sys.platform == "win32" else str(os.getuid())
    parts = (user, PROTOCOL_VERSION, sys.prefix, *options)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def socket_path(options: tuple[object, ...]) -> Path:
    """Where the engine with these options is met.

    Raises: EngineError, when the path is too long for a socket.
    """
    path = runtime_folder() / f"{engine_name(options)}.sock"
    if len(os.fsencode(path)) > SOCKET_BYTES:
        raise EngineError(
            f"{path} is too long for a socket; set XDG_RUNTIME_DIR to a shorter folder"
        )
    return path
