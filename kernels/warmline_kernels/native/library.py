"""The compiled kernels, loaded.

They exist for Linux on x86-64. Elsewhere, or if torch's threads cannot be shared, torch's products are used.
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
    """The functions of a library file, and the function with which torch's OpenMP runtime starts threads.

    `n_threads` is the maximum number of torch's threads for a short call, if it was measured.
    """

    path: Path
    functions: ctypes.CDLL
    parallel: ctypes.c_void_p
    n_threads: int | None = None

    def run(self, name: str, *arguments: object, is_long: bool = False) -> None:
        """Calls a kernel; with `is_long` on all of torch's threads.

        Raises: MemoryError.
        """
        most = MANY if is_long else self.n_threads or MANY
        n_threads = ctypes.c_int(min(torch.get_num_threads(), most))
        if getattr(self.functions, name)(*arguments, n_threads, self.parallel):
            raise MemoryError(f"{name} found no memory for its intermediate values")


@functools.cache
def library() -> Library | None:
    """The best library for this machine; None if there is none."""
    path = for_this_machine()
    return None if path is None else load(path)


def load(path: Path) -> Library | None:
    """None if the system cannot load it: another libc than glibc, a file system mounted without execution."""
    try:
        functions = ctypes.CDLL(str(path))
        runtime = ctypes.CDLL("libgomp.so.1")  # torch has loaded its own under this name
        return Library(path, functions, ctypes.cast(runtime.GOMP_parallel, ctypes.c_void_p))
    except (OSError, AttributeError):
        return None
