"""Notes beside cached files that name the workspace or model they belong to."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

OWNER_SUFFIX = ".owner.json"
MAX_NOTE_BYTES = 1 << 16


def note_owner(path: Path, owner: str) -> None:
    """Notes the owner of the files whose names begin with `path`, since a person cannot read a digest."""
    note = path.with_name(f"{path.name}{OWNER_SUFFIX}")
    content = json.dumps({"owner": owner})
    with contextlib.suppress(OSError):
        if not (
            note.is_file() and note.stat().st_size < MAX_NOTE_BYTES and note.read_text() == content
        ):
            note.write_text(content)


def owner_of(path: Path) -> str:
    """The noted owner, printable; "" if there is no note or it cannot be read."""
    note = path.with_name(f"{path.name}{OWNER_SUFFIX}")
    try:
        if not note.is_file() or note.stat().st_size > MAX_NOTE_BYTES:
            return ""
        owner = json.loads(note.read_bytes())["owner"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return "".join(c if c.isprintable() else "?" for c in owner) if isinstance(owner, str) else ""
