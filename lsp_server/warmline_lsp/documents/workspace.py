"""The workspace folder of a document, and the files to watch for changes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .uris import path_of

# a test compares them with the suffixes that the engine knows
_SUFFIXES = (
    "bash c cc cjs clj cljs cmake coffee cpp cr cs cts cxx d dart erl ex exs f90 fish fs go groovy h hh hpp hs "
    "hxx java jl js jsx kt kts lua m mjs ml mli mts nim php pl pm proto ps1 py pyi pyw pyx r rake rb rs scala "
    "sh sql svelte swift tcl ts tsx v vue zig zsh"
)
SUFFIXES = tuple(_SUFFIXES.split())
WATCHED = f"**/*.{{{','.join(SUFFIXES)}}}", "**/.gitignore"


@dataclass(frozen=True)
class InWorkspace:
    """The place of a document in a workspace: its root folder, and the path below it with `/`."""

    root: str
    path: str


def locate(uri: str, folders: Iterable[str]) -> InWorkspace | None:
    """The innermost of some folders (URIs) that contains a document."""
    path = path_of(uri)
    if path is None or ".." in path.parts:
        return None
    found: InWorkspace | None = None
    for folder in folders:
        root = path_of(folder)
        # compared by name, without resolving links: a link must not lead into another folder
        if root is None or _is_too_broad(root) or not path.is_relative_to(root) or path == root:
            continue
        if found is None or len(found.root) < len(str(root)):
            found = InWorkspace(str(root), path.relative_to(root).as_posix())
    return found


def project_of(path: Path) -> Path | None:
    """The closest folder above a file that is under version control, None if there is none."""
    above = (folder for folder in path.parents if (folder / ".git").exists())
    found = next(above, None)
    return None if found is None or _is_too_broad(found) else found


def _is_too_broad(root: Path) -> bool:
    """Whether a folder is larger than a project: the user's home or the root of the file system."""
    return root in (Path(root.anchor), Path(os.path.expanduser("~")))
