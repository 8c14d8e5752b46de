"""What is freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

# many small pieces with one that stays behind the last: the C library keeps what is before it
SCRIPT = """
import ctypes
from pathlib import Path
from warmline_kernels.memory import give_back

def resident():
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("RssAnon"))
    return int(line.split()[1]) / 1024

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
before = resident()
pieces = [libc.malloc(100_000) for _ in range(1000)]
for piece in pieces:
    ctypes.memset(ctypes.c_void_p(piece), 1, 100_000)
for piece in pieces[:-1]:
    libc.free(piece)
kept = resident() - before
give_back()
print(kept, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is given back")
def test_freed_memory_goes_back() -> None:
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    kept, left = map(float, found.stdout.split())
    assert kept > 80
    assert left < 20
