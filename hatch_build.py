"""Has the CPU kernels compiled when the package is made, on the one platform they are made for."""

from __future__ import annotations

import importlib.util
import platform
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("kernels/warmline_kernels/native")


class KernelsHook(BuildHookInterface[Any]):
    """Compiles `kernels-*.so` beside their source and adds them to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version  # a wheel that is installed and one that leads here both want them
        if sys.platform != "linux" or platform.machine() != "x86_64":
            return
        source = Path(self.root) / FOLDER / "build.py"
        spec = importlib.util.spec_from_file_location("build", source)
        assert spec is not None, source
        assert spec.loader is not None, source
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        # by their names: the folder may still have libraries of an older version
        build_data["artifacts"] += [f"/{FOLDER}/{library.name}" for library in module.build()]
