"""Starts a Neovim with the plugin."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pynvim  # pyright: ignore[reportMissingImports]
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
WITHIN_S = 180


def wait(found: Callable[[], Any]) -> Any:
    """Waits until the function returns a true value, and returns it."""
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end:
        if value := found():
            return value
        time.sleep(0.02)
    raise TimeoutError


@contextmanager
def neovim(folder: Path, patch: pytest.MonkeyPatch, init: str, *files: str) -> Iterator[Any]:
    """Starts Neovim with an init file and the plugin; all its files are in a folder."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "HOME"):
        (folder / name).mkdir()
        patch.setenv(name, str(folder / name))
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    patch.setenv("XDG_RUNTIME_DIR", str(runtime))
    path = f'vim.opt.runtimepath:append("{ROOT}/editors/neovim")\n'
    (folder / "init.lua").write_text(path + init)
    flags = ["--clean", "--embed", "--headless", "-u", str(folder / "init.lua")]
    nvim = pynvim.attach("child", argv=[str(BIN / "nvim"), *flags, *files])
    yield nvim
    nvim.command("lua vim.lsp.stop_client(vim.lsp.get_clients(), true)")
    nvim.close()
