"""The compiled kernels, loaded.

They are made for Linux on x86-64. Elsewhere, or where torch's threads cannot be shared, torch's own products serve.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from pathlib import Path

import torch

from .processors import for_this_machine

MANY = 2**15  # threads: no bound


@dataclass(eq=False)
class Library:
    """A file's functions, and the function by which torch's OpenMP runtime starts its threads.

    `n_threads` is how many of torch's threads a short call uses at most, where that was measured.
    """

    path: Path
    functions: ctypes.CDLL
    parallel: ctypes.c_void_p
    n_threads: int | None = None

    def run(self, name: str, *arguments: object, is_long: bool = False) -> None:
        """Calls a kernel; one that `is_long` uses all of torch's threads.

        Raises: MemoryError.
        """
        most = MANY if is_long else self.n_threads or MANY
        n_threads = ctypes.c_int(min(torch.get_num_threads(), most))
        if getattr(self.functions, name)(*arguments, n_threads, self.parallel):
            raise MemoryError(f"{name} found no memory for its intermediate values")


@functools.cache
def library() -> Library | None:
    """The best that the machine runs; None where there is none."""
    path = for_this_machine()
    return None if path is None else load(path)


def load(path: Path) -> Library | None:
    """None where the system does not load it: a libc that is no glibc, a file system without execution."""
    try:
        functions = ctypes.CDLL(str(path))
        runtime = ctypes.CDLL("libgomp.so.1")  # torch has loaded its own under this name
        return Library(path, functions, ctypes.cast(runtime.GOMP_parallel, ctypes.c_void_p))
    except (OSError, AttributeError):
        return None
