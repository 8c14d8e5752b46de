"""Where things that are kept between runs lie: server and engine agree on it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

OWNER_SUFFIX = ".owner.json"
MAX_NOTE_BYTES = 1 << 16


def cache_folder() -> Path:
    """The folder for logs, indexes and encoded chunks, mode 0700."""
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA", tempfile.gettempdir())) / "warmline/cache"
    elif sys.platform == "darwin":
        folder = Path.home() / "Library/Caches/warmline"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "warmline"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def index_path(root: Path) -> Path:
    """The database of a workspace; its folder is made for this user alone."""
    folder = cache_folder() / "index"
    folder.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:12]
    note_owner(folder / name, str(root.resolve()))
    return folder / f"{name}.sqlite"


def chunks_folder(model: str) -> Path:
    """Where one model's chunks of other files lie as it encoded them."""
    return cache_folder() / "chunks" / model


def note_owner(path: Path, owner: str) -> None:
    """Notes beside kept files, whose names begin with `path`, whose they are: a person cannot read a digest."""
    note = path.with_name(f"{path.name}{OWNER_SUFFIX}")
    content = json.dumps({"owner": owner})
    with contextlib.suppress(OSError):
        if not (
            note.is_file() and note.stat().st_size < MAX_NOTE_BYTES and note.read_text() == content
        ):
            note.write_text(content)


def owner_of(path: Path) -> str:
    """What was noted, printable; "" where nothing was or it cannot be read."""
    note = path.with_name(f"{path.name}{OWNER_SUFFIX}")
    try:
        if not note.is_file() or note.stat().st_size > MAX_NOTE_BYTES:
            return ""
        owner = json.loads(note.read_bytes())["owner"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return "".join(c if c.isprintable() else "?" for c in owner) if isinstance(owner, str) else ""
