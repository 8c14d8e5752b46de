"""Chunks' keys and values in files, so that a new engine need not encode the chunks of an earlier one again.

A folder belongs to one model in one number format. A file has a checksum and tokens, keys, values and the folder's
name; all of them are compared when it is read. A file may vanish, be damaged or belong to another engine: then the
chunk is encoded again, and nothing else happens.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from .arena import RowShape
from .chunk_cache import ChunkRows

SWEPT_TO = 0.75  # share of the budget that a sweep leaves, so that not every chunk causes one
MAGIC = b"WARMKV1\n"
DIGEST_BYTES = 32
HEAD_BYTES = len(MAGIC) + DIGEST_BYTES
MAX_HEADER_BYTES = 1 << 14  # of a file: everything but the tensors


class _DamagedError(Exception):
    """A file that does not hold what was written for this model and these tokens."""


class ChunkFiles:
    """Rows by their tokens. All models of a folder share a budget; the least recently used files are removed first."""

    def __init__(self, folder: Path, budget_bytes: int, shape: RowShape) -> None:
        self._folder = folder
        self._budget = budget_bytes
        self._shape = shape
        self._n_bytes: int | None = None  # of all models' files, as far as this engine knows

    def get(self, tokens: tuple[int, ...]) -> ChunkRows | None:
        """The rows of a chunk if a valid file of this model has them; an invalid file is removed."""
        path = self._path(tokens)
        try:
            rows = self._unpacked(_read(path, self._max_file_bytes(len(tokens))), tokens)
        except FileNotFoundError:
            return None
        except (OSError, _DamagedError):
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return rows[0].to(self._shape.device), rows[1].to(self._shape.device)

    def put(self, tokens: tuple[int, ...], rows: ChunkRows) -> None:
        """Writes the rows of a chunk completely or not at all."""
        path = self._path(tokens)
        content = self._packed(tokens, rows)
        partial = path.with_name(f"{path.stem}.{secrets.token_hex(8)}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial.write_bytes(content)
            n_bytes = partial.stat().st_size
            partial.replace(path)
        except OSError:  # a full disk, most likely
            with contextlib.suppress(OSError):
                partial.unlink()
            return
        self._n_bytes = n_bytes + (self._sweep() if self._n_bytes is None else self._n_bytes)
        if self._budget < self._n_bytes:
            self._n_bytes = self._sweep()

    def _packed(self, tokens: tuple[int, ...], rows: ChunkRows) -> bytes:
        keys, values = (part.detach().cpu().contiguous() for part in rows)
        tensors = {
            "tokens": torch.tensor(tokens, dtype=torch.int32),
            "keys": keys,
            "values": values,
        }
        packed = save(tensors, {"model": self._folder.name})
        return b"".join((MAGIC, _digest(packed), packed))

    def _unpacked(self, content: bytes, tokens: tuple[int, ...]) -> ChunkRows:
        """Raises: _DamagedError."""
        packed = content[HEAD_BYTES:]
        if content[: len(MAGIC)] != MAGIC or content[len(MAGIC) : HEAD_BYTES] != _digest(packed):
            raise _DamagedError
        # an undamaged file may still belong to another model or chunk, under a wrong name
        try:
            found = load(packed)
            keys, values, kept_tokens = found["keys"], found["values"], found["tokens"].tolist()
            n_header = int.from_bytes(packed[:8], "little")
            model = json.loads(packed[8 : 8 + n_header])["__metadata__"]["model"]
        except (SafetensorError, KeyError, ValueError, TypeError):
            raise _DamagedError from None
        is_whole = all(self._fits(part, len(tokens)) for part in (keys, values))
        if not is_whole or kept_tokens != list(tokens) or model != self._folder.name:
            raise _DamagedError
        return keys, values

    def _fits(self, part: Tensor, n_tokens: int) -> bool:
        shape = self._shape
        wanted = shape.n_layers, shape.n_kv_heads, n_tokens, shape.head_size
        return part.shape == wanted and part.dtype == shape.dtype

    def _max_file_bytes(self, n_tokens: int) -> int:
        shape = self._shape
        n_numbers = 2 * shape.n_layers * shape.n_kv_heads * n_tokens * shape.head_size
        return n_numbers * shape.dtype.itemsize + 4 * n_tokens + MAX_HEADER_BYTES

    def _path(self, tokens: tuple[int, ...]) -> Path:
        digest = hashlib.sha256(np.array(tokens, np.int32).tobytes()).hexdigest()
        return self._folder / f"{digest[:32]}.kv"

    def _sweep(self) -> int:
        """Removes the oldest files if the budget is exceeded; the bytes that remain."""
        files: list[tuple[float, int, Path]] = []
        for path in self._folder.parent.glob("*/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        left = sum(size for _, size, _ in files)
        if left <= self._budget:
            return left
        for _, size, path in sorted(files):
            if left <= SWEPT_TO * self._budget:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                left -= size
        return left


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def _read(path: Path, limit: int) -> bytes:
    """A file's content.

    Raises: OSError; _DamagedError, when it is no regular file or larger than the limit.
    """
    # without O_NONBLOCK opening a pipe would wait for a writer
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise _DamagedError
        return file.read()
