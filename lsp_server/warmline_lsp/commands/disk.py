"""Files below a folder and their sizes, for commands that list them."""

from __future__ import annotations

import contextlib
from pathlib import Path


def files_in(folder: Path) -> dict[Path, int]:
    """The size of each file below a folder, in bytes. Files that disappear meanwhile and links are left out."""
    found: dict[Path, int] = {}
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                found[path] = path.stat().st_size
    return found


def size_text(n_bytes: int) -> str:
    """A size for people to read."""
    return f"{n_bytes / 2**20:.1f} MiB" if n_bytes >= 2**20 else f"{n_bytes / 2**10:.1f} KiB"
