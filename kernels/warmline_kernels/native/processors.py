"""Finds which of the compiled kernels this processor can run, without loading any."""

from __future__ import annotations

import platform
import sys
from collections.abc import Set
from pathlib import Path

from .build import FOLDER, path_of

_AVX2 = {"avx2", "fma", "f16c", "bmi1", "bmi2", "movbe"}
_AVX512 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni"}
# which flags of /proc/cpuinfo each library needs, the best one first
NEEDED = {
    "avx512bf16": _AVX2 | _AVX512 | {"avx512_bf16"},
    "avx512": _AVX2 | _AVX512,
    "avxvnni": _AVX2 | {"avx_vnni"},
    "avx2": _AVX2,
}


def for_this_machine() -> Path | None:
    """The best library for this machine; None if there is none, and torch's products are used."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    return best(processor_flags(), FOLDER)


def best(flags: Set[str], folder: Path) -> Path | None:
    """The best library in a folder for a processor with these flags; None if there is none."""
    paths = (path_of(processor, folder) for processor, needed in NEEDED.items() if needed <= flags)
    return next((path for path in paths if path.exists()), None)


def processor_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The processor's features, in Linux's names."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())
