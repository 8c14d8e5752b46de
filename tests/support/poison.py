"""A project with a module for each name that Python could look for, and with programs: each that runs leaves a mark."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Collection
from pathlib import Path

OURS = {"warmline_lsp", "warmline_engine", "warmline_kernels"}
HOOKS = {"sitecustomize", "usercustomize", "conftest", "setuptools", "pip", "pkg_resources"}
# as folders: a folder is a package too
FOLDERS = {"encodings", "json", "asyncio", "logging", "torch", "numpy", "attr", "pygls"} | OURS
PROGRAMS = ("git", "python", "python3", "uname", "gcc", "cc", "ldconfig", "sh", "cmd", "nvidia-smi")


def names() -> set[str]:
    """All of Python's own modules, and those of all installed packages."""
    installed = {
        name for name in importlib.metadata.packages_distributions() if name.isidentifier()
    }
    return {*sys.stdlib_module_names, *sys.builtin_module_names, *installed, *OURS, *HOOKS}


class Poisoned:
    """`folder` is the project, `marks` the folder of what ran, outside of it."""

    def __init__(self, place: Path, left_out: Collection[str] = ()) -> None:
        self.folder, self.marks = place / "project", place / "marks"
        for folder in (self.folder / "bin", self.folder / ".git", self.marks):
            folder.mkdir(parents=True)
        for name in names() - set(left_out):
            code = f"open({str(self.marks / name)!r}, 'wb').close()\n"
            path = self.folder / (f"{name}/__init__.py" if name in FOLDERS else f"{name}.py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(code)
        for name in PROGRAMS:
            for path in (self.folder / name, self.folder / "bin" / name):
                path.write_text(f"#!/bin/sh\n: > '{self.marks / name}'\n")
                path.chmod(0o755)
        (self.folder / "pyvenv.cfg").write_text(f"home = {self.folder}\n")
        (self.folder / "evil.pth").write_text(f"import os; os.mkdir({str(self.marks / 'pth')!r})\n")
        (self.folder / "pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:9/\n")

    def ran(self) -> list[str]:
        """What ran since the last look."""
        found = sorted(self.marks.iterdir())
        for path in found:
            path.rmdir() if path.is_dir() else path.unlink()
        return [path.name for path in found]
