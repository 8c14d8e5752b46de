"""Chunks' keys and values as files, so that a new engine does not encode again what an earlier one did.

A folder belongs to one model in one number format. A name is found by a hash, and the tokens inside are compared. Any
file may vanish, be damaged or be another engine's: then the chunk is encoded again, and nothing else happens.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from .arena import RowShape
from .kept import ChunkRows

SWEPT_TO = 0.75  # of the budget, where it was over: a folder is not looked through at each chunk


class ChunkFiles:
    """Rows by their tokens; files that were unused longest go first, under one budget for all models of a folder."""

    def __init__(self, folder: Path, budget_bytes: int, shape: RowShape) -> None:
        self._folder = folder
        self._budget = budget_bytes
        self._shape = shape
        self._n_bytes: int | None = None  # of all models' files, as far as this engine knows

    def get(self, tokens: tuple[int, ...]) -> ChunkRows | None:
        """The rows of a chunk, if a whole file has them."""
        path = self._path(tokens)
        try:
            found = load_file(path)
            rows = found["keys"], found["values"]
            if found["tokens"].tolist() != list(tokens) or not all(map(self._fits, rows)):
                return None
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError):
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return rows[0].to(self._shape.device), rows[1].to(self._shape.device)

    def put(self, tokens: tuple[int, ...], rows: ChunkRows) -> None:
        """Writes the rows of a chunk, whole or not at all."""
        path = self._path(tokens)
        keys, values = (part.detach().cpu().contiguous() for part in rows)
        tensors = {
            "tokens": torch.tensor(tokens, dtype=torch.int32),
            "keys": keys,
            "values": values,
        }
        partial = path.with_suffix(f".{os.getpid()}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            save_file(tensors, partial)
            n_bytes = partial.stat().st_size
            partial.replace(path)
        except (OSError, SafetensorError):  # a full disk, most likely
            with contextlib.suppress(OSError):
                partial.unlink()
            return
        self._n_bytes = n_bytes + (self._sweep() if self._n_bytes is None else self._n_bytes)
        if self._budget < self._n_bytes:
            self._n_bytes = self._sweep()

    def _fits(self, part: Tensor) -> bool:
        shape = self._shape
        wanted = shape.n_layers, shape.n_kv_heads, shape.head_size, shape.dtype
        return part.ndim == 4 and (*part.shape[:2], part.shape[3], part.dtype) == wanted

    def _path(self, tokens: tuple[int, ...]) -> Path:
        digest = hashlib.sha256(np.array(tokens, np.int32).tobytes()).hexdigest()
        return self._folder / f"{digest[:32]}.safetensors"

    def _sweep(self) -> int:
        """Takes the oldest files away where there are too many; the bytes that are left."""
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
