"""Where things that are kept between runs lie: server and engine agree on it."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path


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
    return folder / f"{name}.sqlite"


def chunks_folder(model: str) -> Path:
    """Where one model's chunks of other files lie as it encoded them."""
    return cache_folder() / "chunks" / model
