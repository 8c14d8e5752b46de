"""The extension in a real VS Code, the installed server and the embedded model behind it: `make test-vscode`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parent))
from workbench import CodeServer, Workbench

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = """import json


class Store:
    def __init__(self, path):
        self.path = path
        self.items = {}

    def load(self):
        with open(self.path) as file:
            self.items = json.load(file)

    def save(self):
"""


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    root = tmp_path_factory.mktemp("code")
    settings = {
        "warmline.command": str(ROOT / ".venv/bin/warmline"),
        "warmline.idleExitMinutes": 0.1,
    }
    server = CodeServer(root, ROOT / "editors/vscode/warmline.vsix", settings)
    (server.workspace / "store.py").write_text(TEXT)
    with sync_playwright() as playwright:
        bench = Workbench(playwright, server, root / "profile")
        bench.open("store.py", "Warmline")
        bench.page.wait_for_function(
            "() => [...document.querySelectorAll('.statusbar-item')].some((e) =>"
            " e.textContent.includes('Warmline') && !e.textContent.includes('loading')"
            " && !e.textContent.includes('starting'))",
            timeout=90_000,
        )
        yield bench
        bench.close()
    server.stop()


def test_typing_gives_ghost_text_and_tab_accepts_it(workbench: Workbench) -> None:
    workbench.press("Control+End")
    workbench.type("        with open(self.")
    ghost = workbench.ghost()
    assert ghost.strip()
    pictures = ROOT / ".work/pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    workbench.page.screenshot(path=str(pictures / "ghost-text.png"))
    workbench.press("Tab")
    workbench.press("Escape")
    saved = workbench.save("store.py")
    assert saved.startswith(TEXT + "        with open(self." + ghost.split("\n")[0])
    assert workbench.hosts <= {"127.0.0.1", None}
