"""Starts a VS Code with the extension of this checkout, and saves screenshots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.workbench.driver import CodeServer, Workbench, launch
from tests.support.workbench.traced import ROOT, Trace

# the small and the base model complete it differently
CLASS = """import json


class Store:
    def __init__(self, path):
        self.path = path
        self.items = {}

    def load(self):
        with open(self.path) as file:
            self.items = json.load(file)

    def save(self):
"""
PICTURES = ROOT / ".work/pictures"


@dataclass(frozen=True)
class Started:
    """A VS Code that runs the traced server."""

    code: CodeServer
    trace: Trace


@contextmanager
def started(
    folder: Path,
    files: dict[str, str],
    environment: dict[str, str] | None = None,
    *,
    is_trusted: bool = True,
    **settings: Any,
) -> Iterator[Started]:
    """Starts a VS Code on a workspace with these files and settings of the extension."""
    (folder / "server").mkdir()
    trace = Trace(folder / "server", ROOT / ".venv/bin/python")
    # the tests need ghost text, whether it is likely or not
    usual = {"command": str(trace.command), "idleExitMinutes": 0.1, "showUnsure": True}
    in_force = {f"warmline.{name}": value for name, value in (usual | settings).items()}
    vsix = ROOT / "editors/vscode/warmline.vsix"
    place = folder / "code"
    code = CodeServer(place, vsix, in_force, is_trusted=is_trusted, environment=environment)
    for name, text in files.items():
        path = code.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    try:
        yield Started(code, trace)
    finally:
        code.stop()


@contextmanager
def browsing(playwright: Any, folder: Path) -> Iterator[Any]:
    """A browser, closed at the end."""
    context = launch(playwright, folder / "profile")
    try:
        yield context
    finally:
        context.close()


def keep_picture(bench: Workbench, name: str) -> None:
    """Saves a screenshot of a window."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    # without animations, so that notifications are in their final place
    bench.page.screenshot(path=str(PICTURES / f"{name}.png"), animations="disabled")
