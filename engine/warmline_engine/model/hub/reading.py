"""Reads files of an untrusted model folder: only regular files of bounded size."""

from __future__ import annotations

import json
import reprlib
import stat
from pathlib import Path
from typing import Any

from warmline_engine.errors import ModelError

MAX_CONFIG_BYTES = 1 << 20
MAX_INDEX_BYTES = 1 << 26
MAX_TOKENIZER_BYTES = 1 << 26
_shown = reprlib.Repr()
_shown.maxother = _shown.maxstring = _shown.maxlong = 60


def shown(value: object) -> str:
    """A value of a file, shortened for an error message."""
    return _shown.repr(value)


def regular_size(path: Path, wrong: type[ModelError]) -> int:
    """The size of a file, after following links. Devices and pipes, which may be endless, are refused.

    Raises: `wrong`; FileNotFoundError.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise wrong(f"{path} cannot be read: {error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise wrong(f"{path} is not a regular file")
    return status.st_size


def read_bytes(path: Path, most_bytes: int, wrong: type[ModelError]) -> bytes:
    """A file's content.

    Raises: `wrong`, also if it is too long; FileNotFoundError.
    """
    size = regular_size(path, wrong)
    if size > most_bytes:
        raise wrong(f"{path} has {size} bytes; at most {most_bytes} are read")
    try:
        with path.open("rb") as file:
            return file.read(size)  # a buffer of so many bytes is made first
    except OSError as error:
        raise wrong(f"{path} cannot be read: {error}") from None


def read_json(path: Path, most_bytes: int, wrong: type[ModelError]) -> dict[str, Any]:
    """The JSON object in a file.

    Raises: `wrong`, also if it contains anything else; FileNotFoundError.
    """
    content = read_bytes(path, most_bytes, wrong)
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = shown(str(error)) if isinstance(error, ValueError) else "nested too deep"
        raise wrong(f"{path} cannot be read: {reason}") from None
    if not isinstance(found, dict):
        raise wrong(f"{path} holds a {type(found).__name__}, a JSON object is expected")
    return found
