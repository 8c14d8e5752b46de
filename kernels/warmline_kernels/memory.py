"""Returns freed memory to the system, and allocates memory that is fast to read."""

from __future__ import annotations

import ctypes
import mmap
import sys

import torch
from torch import Tensor

LARGE_PAGE = 1 << 21  # bytes
PIECE = 1 << 25  # bytes that are taken at a time: from here on glibc maps memory of its own
ALIGNED = 64


class LargePages:
    """Allocates memory in large pages, if the system offers them.

    What is read once a token misses the processor's table of pages at every page: in a virtual machine, where a miss
    costs most, one core reads 16 GB/s out of large ones and 11 out of those of 4 KiB. Matrices of a few hundred
    kilobytes would be too small for pages of their own.
    """

    def __init__(self) -> None:
        self._piece = torch.empty(0, dtype=torch.uint8)
        self._n_lent = 0

    def empty(self, n_bytes: int) -> Tensor:
        """Shape: [n_bytes] uint8, not zeroed. It lives as long as anything that was lent of the same piece."""
        if n_bytes > PIECE // 2:
            return self._taken(n_bytes)
        begin = -(-self._n_lent // ALIGNED) * ALIGNED
        if begin + n_bytes > len(self._piece):
            self._piece, begin = self._taken(PIECE), 0
        self._n_lent = begin + n_bytes
        return self._piece[begin : self._n_lent]

    def _taken(self, n_bytes: int) -> Tensor:
        taken = torch.empty(n_bytes, dtype=torch.uint8)
        ask_for_large_pages(taken)
        return taken


def ask_for_large_pages(tensor: Tensor) -> None:
    """Requests large pages for a tensor that is not written yet; does nothing if the system has none."""
    begin = -(-tensor.data_ptr() // LARGE_PAGE) * LARGE_PAGE
    n_bytes = (tensor.data_ptr() + tensor.nbytes - begin) // LARGE_PAGE * LARGE_PAGE
    advice = getattr(mmap, "MADV_HUGEPAGE", None)  # Linux's alone
    if advice is not None and tensor.device.type == "cpu" and n_bytes > 0:
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        madvise(begin, n_bytes, advice)  # a wish: where it fails all is as it was


def give_back() -> None:
    """Gives freed memory back to the system, if the C library offers that; does nothing elsewhere.

    Temporaries of a load are small and many, which glibc keeps: 210 MiB of them for half a billion weights in 4 bits.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
        if trim is not None:
            trim(0)
