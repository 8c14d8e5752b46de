"""Where the index of a workspace lies: in the user's cache folder, which `warmline cache` lists and clears."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """The folder that the server too keeps its logs in; a test holds the two together."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", tempfile.gettempdir())) / "warmline/cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/warmline"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "warmline"


def index_path(root: Path) -> Path:
    """The database of a workspace; its folder is made for this user alone."""
    folder = cache_folder() / "index"
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:12]
    return folder / f"{name}.sqlite"
