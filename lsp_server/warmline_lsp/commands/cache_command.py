"""`warmline cache`: show or clear the files that Warmline keeps on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from warmline_protocol.folders import cache_folder
from warmline_protocol.owner_notes import owner_of

from .disk import files_in, size_text

UNKNOWN = "unknown: written by an older version"


def show() -> int:
    """Prints the files; the exit status."""
    folder = cache_folder()
    files = files_in(folder)
    print(f"{folder}: {len(files)} files, {size_text(sum(files.values()))}")
    for line in _lines(folder, files):
        print(line)
    return 0


def clear() -> int:
    """Removes the files; the exit status."""
    folder = cache_folder()
    n_bytes = sum(files_in(folder).values())
    for child in folder.iterdir():
        # remove a link itself, never its target
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink(missing_ok=True)
    print(f"{folder}: {size_text(n_bytes)} freed")
    return 0


def _lines(folder: Path, files: dict[Path, int]) -> Iterator[str]:
    """A line for each file, and one for all chunks of a model, with the workspace or the model they belong to."""
    chunk_bytes: dict[Path, int] = {}
    for path, size in files.items():
        relative = path.relative_to(folder)
        if relative.parts[:1] == ("chunks",) and len(relative.parts) > 2:
            chunk_bytes[path.parent] = chunk_bytes.get(path.parent, 0) + size
            continue
        owner = ""
        if relative.parts[:1] == ("index",):
            note = path.with_name(relative.name.partition(".")[0])
            owner = f"  (workspace {owner_of(note) or UNKNOWN})"
        yield f"  {size_text(size):>9}  {relative}{owner}"
    for model, size in chunk_bytes.items():
        name = f"{model.relative_to(folder)}{os.sep}"
        yield f"  {size_text(size):>9}  {name}  (model {owner_of(model) or UNKNOWN})"
