"""Pins a model to its downloaded revision, until the user requests another.

Beside a model's snapshots in Hugging Face's cache lies `warmline.json` with the commit that was fetched and the size,
time of change and SHA-256 of each file. A model that has one is loaded from its folder without any request. Sizes are
compared each time; a file is read again only where its time of change is another one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from warmline_engine.errors import SourceError
from warmline_engine.model.hub.reading import MAX_CONFIG_BYTES, read_json, regular_size

NAME = "warmline.json"
INDEX = "model.safetensors.index.json"
_BLOCK_BYTES = 1 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class FileMark:
    """Identifies a file's content. Units: changed_ns since the epoch."""

    size: int
    changed_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileMark:
        """Reads all of the file."""
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, digest.hexdigest())


@dataclass(frozen=True)
class Pin:
    """A revision of a model, and its files by name."""

    folder: Path  # the snapshot
    commit: str
    files: dict[str, FileMark]

    def check(self, is_thorough: bool = False) -> bool:
        """Checks that all files exist, and that those with a new modification time (or all) are as downloaded.

        Raises: SourceError, if a file has other content.
        """
        for name, mark in self.files.items():
            path = self.folder / name
            try:
                size = regular_size(path, SourceError)
                is_same_time = path.stat().st_mtime_ns == mark.changed_ns
            except FileNotFoundError:
                return False
            is_read = is_thorough or not is_same_time
            if size != mark.size or (is_read and FileMark.of(path).sha256 != mark.sha256):
                raise SourceError(
                    f"{path} differs from the downloaded file; delete {self.folder.parent.parent} and download the "
                    "model again with `warmline models pull`"
                )
        return True


def read(model: str) -> Pin | None:
    """The pinned revision of a Hugging Face id; None if there is none or its note is unusable."""
    folder = _folder(model)
    try:
        found = read_json(folder / NAME, MAX_CONFIG_BYTES, SourceError)
        commit = found["commit"]
        if not _COMMIT.fullmatch(commit):
            return None
        files = {str(name): _mark(mark) for name, mark in found["files"].items()}
    except (OSError, SourceError, KeyError, TypeError, ValueError, AttributeError):
        return None
    if not files or not all(_is_plain(name) for name in files):
        return None
    return Pin(folder / "snapshots" / commit, commit, files)


def write(model: str, snapshot: Path) -> Pin:
    """Pins a snapshot; reads all of it. If the note cannot be written, nothing is pinned."""
    files = {path.relative_to(snapshot).as_posix(): FileMark.of(path) for path in _files(snapshot)}
    pin = Pin(snapshot, snapshot.name, files)
    note = {
        "commit": pin.commit,
        "files": {name: asdict(mark) for name, mark in sorted(files.items())},
    }
    target = _folder(model) / NAME
    partial = target.with_name(f"{NAME}.{os.getpid()}.partial")
    with suppress(OSError):
        partial.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
        partial.replace(target)
    return pin


def is_complete(snapshot: Path) -> bool:
    """Whether a snapshot without a note is complete: an interrupted download leaves a part."""
    try:
        index = snapshot / INDEX
        names = {"model.safetensors"}
        if index.exists():
            names = set(read_json(index, 1 << 26, SourceError)["weight_map"].values())
        needed = ("config.json", "tokenizer.json", *names)
        return all(_is_plain(name) and (snapshot / name).exists() for name in needed)
    except (OSError, SourceError, KeyError, TypeError, AttributeError):
        return False


def _folder(model: str) -> Path:
    """A model's folder in Hugging Face's cache; it may not exist."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    name = repo_folder_name(repo_id=model, repo_type="model")
    return Path(constants.HF_HUB_CACHE) / name


def _files(snapshot: Path) -> Iterator[Path]:
    return (path for path in snapshot.rglob("*") if path.is_file())


def _mark(entry: dict[str, Any]) -> FileMark:
    return FileMark(int(entry["size"]), int(entry["changed_ns"]), str(entry["sha256"]))


def _is_plain(name: str) -> bool:
    """Whether a name stays inside the snapshot."""
    parts = Path(name).parts
    return bool(parts) and not Path(name).is_absolute() and ".." not in parts and "\\" not in name
