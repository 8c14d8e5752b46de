"""Reads files of a workspace: regular files only, through no link, and never more than a given size.

A workspace is not trusted: a name in it may be a link, a FIFO, a device or a file without end, and may become one
between a look at it and its opening.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_CAN_OPEN_BELOW = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a FIFO without a writer keeps nobody waiting
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_FOLDER_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_AT_ONCE = 1 << 16


class TooLarge(Exception):
    """A file has more bytes than may be read."""


def read_below(root: Path, path: str, max_bytes: int) -> bytes | None:
    """The content of a regular file below a folder, by its path with `/`; no part of the path may be a link.

    None where there is no such file or it cannot be read.

    Raises: TooLarge.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        return None
    try:
        if not _CAN_OPEN_BELOW:
            return _read_by_path(root, parts, max_bytes)
        folder = os.open(root, _FOLDER_FLAGS & ~getattr(os, "O_NOFOLLOW", 0))
        try:
            for part in parts[:-1]:
                inner = os.open(part, _FOLDER_FLAGS, dir_fd=folder)
                os.close(folder)
                folder = inner
            # opening some devices has effects, so only a regular file is opened at all
            if not stat.S_ISREG(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode):
                return None
            return _read(os.open(parts[-1], _FLAGS, dir_fd=folder), max_bytes)
        finally:
            os.close(folder)
    except (OSError, ValueError):
        return None


def read_regular(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file that the user named; links are followed.

    Raises: OSError, also when it is no regular file; TooLarge.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("not a regular file")
    content = _read(os.open(path, _FLAGS & ~getattr(os, "O_NOFOLLOW", 0)), max_bytes)
    if content is None:
        raise OSError("not a regular file")
    return content


def _read_by_path(root: Path, parts: list[str], max_bytes: int) -> bytes | None:
    """For systems that cannot open a name below an open folder."""
    whole = root
    for part in parts:
        whole /= part
        if whole.is_symlink():
            return None
    if not stat.S_ISREG(whole.lstat().st_mode):
        return None
    return _read(os.open(whole, _FLAGS), max_bytes)


def _read(file: int, max_bytes: int) -> bytes | None:
    """The content of an open file, which is closed; what stands in a folder may have been replaced since."""
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            return None
        if found.st_size > max_bytes:
            raise TooLarge
        # the size is only a hint: files of /proc have none, and a file may grow
        content = bytearray()
        while len(content) <= max_bytes:
            part = os.read(file, min(_AT_ONCE, max_bytes + 1 - len(content)))
            if not part:
                return bytes(content)
            content += part
        raise TooLarge
    finally:
        os.close(file)
