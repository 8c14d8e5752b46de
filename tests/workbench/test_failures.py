"""Failures of the first start in a real VS Code: each message says what to do, and the remedy works."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from tests.support.workbench.driver import STORAGE, CodeServer, Workbench
from tests.support.workbench.small_disk import can_be_made, give_room, with_room
from tests.support.workbench.started import browsing, keep_picture
from tests.support.workbench.traced import ROOT, SOURCES, wait_until

INSTALL_TIMEOUT_S = 1200
LINE = "zebra_area = measure_zebra(width, height)\n"
VSIX = ROOT / "editors/vscode/warmline.vsix"
TORCH = "torch==2.13.0"

OLD = """#!/bin/sh
echo '{"executable": "/usr/bin/python3.9", "version": [3, 9], "is64": true, "hasVenv": true}'
"""
# Debian's python3 without python3-venv
NO_VENV = """#!/bin/sh
exec python3.11 -c "
import importlib.util as u, sys
found = u.find_spec
u.find_spec = lambda name: None if name == 'ensurepip' else found(name)
exec(sys.argv.pop())
" "$@"
"""
OTHER_VERSION = """#!{python}
import os, sys

# use this checkout, also for the engine, instead of the installed packages
sys.path[:0] = {sources!r}
os.environ["PYTHONPATH"] = os.pathsep.join({sources!r})
from warmline_lsp.commands import cli
from warmline_lsp.lsp import server

server.VERSION = "0.0.9"
sys.exit(cli.main())
"""


@contextmanager
def first_start(folder: Path, settings: dict[str, Any], **options: Any) -> Iterator[Workbench]:
    """A window on a machine with only Python and the extension."""
    in_force = {f"warmline.{name}": value for name, value in settings.items()}
    server = CodeServer(
        folder / "code", VSIX, {"warmline.idleExitMinutes": 0.1} | in_force, **options
    )
    (server.workspace / "first.py").write_text(LINE * 4)
    try:
        with sync_playwright() as playwright, browsing(playwright, folder) as context:
            yield Workbench(context, server)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels, downloaded as the README describes."""
    folder = tmp_path_factory.mktemp("wheels")
    wheel = next((ROOT / "editors/vscode/wheels").glob("warmline-*.whl"))
    download = [ROOT / ".venv/bin/pip", "download", "--quiet", "--dest", folder, TORCH, wheel]
    subprocess.run(list(map(str, download)), check=True)
    return folder


def _program(file: Path, text: str) -> str:
    file.write_text(text)
    file.chmod(0o755)
    return str(file)


def _expect_ghost_text(bench: Workbench) -> None:
    bench.wait_for_status("Warmline", INSTALL_TIMEOUT_S)
    bench.page.locator(".editor-instance .view-lines").first.click()
    bench.press("Control+End")
    bench.type("zebra_area = mea")
    assert bench.ghost().strip()


def test_no_python(tmp_path: Path) -> None:
    with first_start(tmp_path, {"environment.python": str(tmp_path / "no-python")}) as bench:
        bench.open("first.py", "Warmline not installed")
        bench.answer("Install")
        bench.wait_for_notification("is not a working Python. Install Python 3.11 or newer")
        keep_picture(bench, "no-python")
        bench.answer("Open settings")
        bench.page.wait_for_selector(".settings-editor")


def test_an_old_python(tmp_path: Path) -> None:
    python = _program(tmp_path / "python3.9", OLD)
    with first_start(tmp_path, {"environment.python": python}) as bench:
        bench.open("first.py", "Warmline not installed")
        bench.answer("Install")
        bench.wait_for_notification("3.11 or newer, but found 3.9")
        keep_picture(bench, "old-python")


def test_python_without_venv(tmp_path: Path) -> None:
    python = _program(tmp_path / "python3", NO_VENV)
    with first_start(tmp_path, {"environment.python": python}) as bench:
        bench.open("first.py", "Warmline not installed")
        bench.answer("Install")
        bench.wait_for_notification("sudo apt install python3-venv python3.11-venv")
        keep_picture(bench, "no-venv")


def test_no_network_and_a_folder_of_wheels_instead(tmp_path: Path, wheels: Path) -> None:
    """The remedy in the message works: an installation without downloads, then ghost text."""
    (tmp_path / "empty").mkdir()
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_CONFIG_FILE": os.devnull,
    }
    with first_start(tmp_path, {}, environment=nowhere) as bench:
        bench.open("first.py", "Warmline not installed")
        bench.answer("Install")
        bench.wait_for_notification("The package index cannot be reached", INSTALL_TIMEOUT_S)
        bench.wait_for_status("Warmline not installed")
        keep_picture(bench, "no-network")
        bench.change(**{"environment.wheelFolder": str(tmp_path / "empty")})
        bench.answer("Try again")
        bench.wait_for_notification(f"{TORCH} is not in {tmp_path / 'empty'} for Python 3.11")
        keep_picture(bench, "not-in-the-folder")
        bench.change(**{"environment.wheelFolder": str(wheels)})
        bench.answer("Try again")
        _expect_ghost_text(bench)


@pytest.mark.skipif(not can_be_made(), reason="mount namespaces are not available")
def test_a_full_disk(tmp_path: Path) -> None:
    """Finished steps are kept: with enough space, a retry continues from there."""
    storage = tmp_path / "code" / STORAGE
    storage.mkdir(parents=True)
    with first_start(tmp_path, {}, before=with_room(100, storage)) as bench:
        bench.open("first.py", "Warmline not installed")
        bench.answer("Install")
        bench.wait_for_notification("Not enough disk space. Free some space", INSTALL_TIMEOUT_S)
        keep_picture(bench, "full-disk")
        give_room(bench.server.pid, 6000, storage)
        bench.answer("Try again")
        bench.wait_for_status("Warmline installing")
        _expect_ghost_text(bench)


def test_a_server_of_another_version(tmp_path: Path, wheels: Path) -> None:
    """The server runs, with a warning; its button installs the extension's own server, which replaces it."""
    text = OTHER_VERSION.format(python=ROOT / ".venv/bin/python", sources=SOURCES)
    command = _program(tmp_path / "warmline", text)
    settings = {"command": command, "environment.wheelFolder": str(wheels)}
    with first_start(tmp_path, settings) as bench:
        bench.open("first.py")
        bench.wait_for_notification("is Warmline 0.0.9, but this extension needs")
        keep_picture(bench, "other-version")
        assert _servers(tmp_path / "code" / STORAGE) == 0
        bench.answer("Use the extension's environment")
        wait_until(lambda: _servers(tmp_path / "code" / STORAGE) == 1, INSTALL_TIMEOUT_S)
        _expect_ghost_text(bench)


def _servers(storage: Path) -> int:
    """The number of servers that run from the extension's environment."""
    n_found = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        is_own = any(part.startswith(os.fsencode(storage)) for part in command)
        n_found += is_own and b"lsp" in command
    return n_found
