"""`warmline doctor`: check the installation and say how to fix it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from warmline_lsp.engine import socket_paths
from warmline_lsp.engine.starting import log_path
from warmline_lsp.errors import ServerError
from warmline_protocol import processes
from warmline_protocol.folders import base_folder, cache_folder, home_folder

from .disk import files_in, size_text

REPORT_WITHIN_S = 60.0  # a slow disk may be read for the first time
# module, purpose, remedy
_LIBRARIES = (
    ("torch", "runs the models", "pip install torch"),
    ("tokenizers", "converts text to tokens", "pip install tokenizers"),
    ("safetensors", "reads model weights", "pip install safetensors"),
    ("tree_sitter_python", "parses Python", "pip install tree-sitter-python"),
)


def check(version: str) -> int:
    """Prints the state of the installation; the exit status is 1 if there are problems."""
    print(f"warmline {version}, Python {sys.version.split()[0]} at {sys.executable}")
    remedies = _check_libraries()
    try:
        engine = engine_report()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        engine = None
        remedies.append("reinstall Warmline: its engine does not start")
        print(f"  MISSING the engine: {error}")
    else:
        remedies += _check_engine(engine)
    remedies += _check_folders(engine)
    _print_engines()
    for remedy in remedies:
        print(f"to do: {remedy}")
    print("problems found" if remedies else "everything is fine")
    return 1 if remedies else 0


def engine_report() -> dict[str, Any]:
    """The engine's report about itself, from a separate process: see `warmline_engine.process.doctor`.

    Raises: OSError, ValueError, subprocess.SubprocessError.
    """
    command = processes.python("-m", "warmline_engine.process.doctor")
    found = processes.run(command, capture_output=True, timeout=REPORT_WITHIN_S, check=True)
    report: dict[str, Any] = json.loads(found.stdout)
    return report


# each prints its part and returns remedies


def _check_libraries() -> list[str]:
    remedies: list[str] = []
    for name, purpose, remedy in _LIBRARIES:
        if importlib.util.find_spec(name) is None:
            remedies.append(remedy)
            print(f"  MISSING {name}: {purpose}")
        else:
            print(f"  ok      {name}: {purpose}")
    return remedies


def _check_engine(report: dict[str, Any]) -> list[str]:
    remedies: list[str] = []
    if report["models"]:
        print(f"  ok      embedded models: {', '.join(report['models'])}")
    else:
        remedies.append("reinstall Warmline: its models are missing")
        print("  MISSING embedded models")
    kernels = report["cpu_kernels"]
    print(
        f"  ok      CPU kernels: {kernels}"
        if kernels
        else "  ok      CPU kernels: none for this machine; using torch's slower ones"
    )
    gpu = report["gpu"]
    if gpu:
        off = (
            f"; off, because unverified: {', '.join(gpu['unchecked'])}" if gpu["unchecked"] else ""
        )
        machine = f"{gpu['device']}, {gpu['date']}, commit {gpu['commit']}"
        print(f"  ok      GPU kernels: checked on {machine}{off}")
    else:
        print("  ok      GPU kernels: off, because unverified; run make gpu-check")
    return remedies


def _check_folders(engine: dict[str, Any] | None) -> list[str]:
    remedies: list[str] = []
    print("folders:")
    for title, find in (
        *([("models in the package", lambda: Path(engine["models_folder"]))] if engine else []),
        ("downloaded models", _downloads),
        ("cache and logs", cache_folder),
        ("sockets", socket_paths.runtime_folder),
    ):
        try:
            folder = find()
            size = size_text(sum(files_in(folder).values())) if folder.is_dir() else "missing"
            print(f"  {title}: {folder}, {size}")
        except (OSError, ServerError) as error:
            remedies.append(f"{title}: {error}")
            print(f"  MISSING {title}: {error}")
    return remedies


def _print_engines() -> None:
    """Prints the running engines. A folder that cannot be used was reported already."""
    with contextlib.suppress(OSError, ServerError):
        for path in sorted(socket_paths.runtime_folder().glob("*.sock")):
            is_running = _accepts_connections(path)
            state = "running" if is_running else "not running; the next engine removes its socket"
            log = log_path(path)
            print(f"engine {path.stem}: {state}; {f'log {log}' if log else 'no log'}")


def _downloads() -> Path:
    hub_home, home = os.environ.get("HF_HOME"), home_folder()
    if hub_home:
        return Path(hub_home).expanduser() / "hub"
    cache = base_folder("XDG_CACHE_HOME") or (home or Path("/nonexistent")) / ".cache"
    return cache / "huggingface/hub"


def _accepts_connections(path: Path) -> bool:
    if sys.platform == "win32":
        return True  # the file contains a port, and the engine removes it when it exits
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(2)
        connection.connect(str(path))
        return True
    return False
