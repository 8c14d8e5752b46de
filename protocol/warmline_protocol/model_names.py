"""How a model and a file are named: in settings, which know no current folder, and in a terminal, which has one."""

from __future__ import annotations

import os
import re
from pathlib import Path

# as Hugging Face writes them; a folder of this name in a project is never meant
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_ID = re.compile(f"{_NAME}/{_NAME}")
_PLAIN = re.compile(_NAME)


def is_id(model: str) -> bool:
    """Whether it is written as a Hugging Face id, `owner/name`."""
    return _ID.fullmatch(model) is not None


def is_plain_name(model: str) -> bool:
    """Whether it is written as the name of an embedded model."""
    return _PLAIN.fullmatch(model) is not None


def is_whole(path: str) -> bool:
    """Whether a path means the same in each folder: it is absolute, or begins with `~`."""
    return path.startswith("~") or Path(path).is_absolute()


def expanded(path: str) -> Path:
    """A whole path, with the home folder in place of `~`.

    Raises: ValueError, saying why it is none.
    """
    if not is_whole(path):
        raise ValueError(f"{path!r} is not an absolute path; expected /folder/... or ~/...")
    try:
        found = Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path!r}: {error}") from None
    if not found.is_absolute():
        raise ValueError(f"{path!r}: the home folder is not an absolute path")
    return found


def typed(model: str) -> str:
    """A model as somebody typed it in a terminal, where `./x` and `../x` begin in the current folder."""
    separators = tuple({"/", os.sep})
    parts = (".", "..")
    if model in parts or model.startswith(tuple(p + s for p in parts for s in separators)):
        return os.path.abspath(model)
    return model
