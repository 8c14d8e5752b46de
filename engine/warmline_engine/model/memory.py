"""Memory that was freed and that the system does not have back."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Gives freed memory back to the system, where the C library can be told to; elsewhere nothing.

    Temporaries of a load are small and many, which glibc keeps: 210 MiB of them for half a billion weights in 4 bits.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
        if trim is not None:
            trim(0)
