"""Compiles the C kernels, once for each kind of processor: `python -m warmline_kernels.native.build`.

Building the package does this (hatch_build.py) with the compiler of the package `ziglang`, so that installing a
wheel needs no compiler. `kernels.c` includes all headers.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "kernels.c"
# an old glibc's interface, so that the library loads on any Linux that torch runs on
TARGET = "x86_64-linux-gnu.2.17"
PROCESSORS = {
    "avx512bf16": "x86_64_v4+avx512vnni+avx512bf16",
    "avx512": "x86_64_v4+avx512vnni",
    "avxvnni": "x86_64_v3+avxvnni",
    "avx2": "x86_64_v3",
}
# multiplications and additions may be fused; otherwise the source's order of operations stands, so that a row's
# result is the same beside any other rows
FLAGS = ("-std=c11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-g0", "-s",
         "-fno-sanitize=undefined", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")  # fmt: skip


def path_of(processor: str, folder: Path = FOLDER) -> Path:
    return folder / f"kernels-{processor}.so"


def build(folder: Path = FOLDER) -> list[Path]:
    """Compiles the libraries into a folder and returns their paths.

    Raises: subprocess.CalledProcessError, if compiling fails.
    """
    made = [path_of(processor, folder) for processor in PROCESSORS]
    for path, cpu in zip(made, PROCESSORS.values(), strict=True):
        # -P: not a `ziglang` of the current folder
        compiler = [sys.executable, "-P", "-m", "ziglang", "cc", "-target", TARGET, f"-mcpu={cpu}"]
        subprocess.run(
            [*compiler, *FLAGS, "-o", str(path.resolve()), str(SOURCE.resolve())],
            cwd=FOLDER,
            check=True,
        )
    return made


if __name__ == "__main__":
    for library in build():
        print(library)
