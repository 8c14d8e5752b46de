"""The address of an engine for servers of the same machine: a Unix socket, or a loopback port named in a file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
from pathlib import Path


async def bind_port(port_file: Path, token: str) -> asyncio.Server:
    """Binds a loopback port and writes port and token to a file. The socket does not listen yet."""
    server = await asyncio.start_server(_serve_nothing, "127.0.0.1", 0, start_serving=False)
    port = server.sockets[0].getsockname()[1]
    _write_private(port_file, json.dumps({"port": port, "token": token}))
    return server


async def bind_socket(path: Path) -> asyncio.Server:
    """Binds a Unix socket, which does not listen yet."""
    bound = bind_privately(path)
    try:
        return await asyncio.start_unix_server(_serve_nothing, sock=bound, start_serving=False)
    except BaseException:
        bound.close()
        raise


def bind_privately(path: Path) -> socket.socket:
    """A socket at a path that only this user can connect to, from the first moment on.

    It is bound in a private folder and then moved, because a umask would apply to the whole process.
    """
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = path.parent / f".{secrets.token_hex(4)}"
    try:
        folder.mkdir(mode=0o700)
        os.chmod(folder, 0o700)  # whatever the umask has left
        try:
            bound.bind(os.fspath(folder / "s"))
            (folder / "s").chmod(0o600)
            (folder / "s").replace(path)
        finally:
            (folder / "s").unlink(missing_ok=True)
            folder.rmdir()
    except BaseException:
        bound.close()
        raise
    return bound


class FileMark:
    """Remembers a file, to remove it later unless another file has replaced it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = _identity(path)

    def remove(self) -> None:
        """Removes the file; the next engine may have replaced it already."""
        if _identity(self._path) == self._identity:
            self._path.unlink(missing_ok=True)


async def _serve_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serves nothing: the acceptor takes the connections."""


def _identity(path: Path) -> tuple[int, int] | None:
    """Differs between two files that have had the same name."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_mtime_ns
    return None


def _write_private(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)
