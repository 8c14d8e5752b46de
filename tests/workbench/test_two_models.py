"""Two models in a real VS Code: the small one answers first, and the base model's answer replaces it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support.workbench.driver import Workbench
from tests.support.workbench.started import CLASS, browsing, keep_picture, started
from tests.support.workbench.traced import wait_until


def test_a_better_completion_replaces_the_first(tmp_path: Path) -> None:
    pair = {
        "model": "base",
        "smallModel": "small",
        "switching": "deadline",
        "switchWithinMs": 10,
    }
    with (
        started(tmp_path, {"store.py": CLASS}, **pair) as vscode,
        sync_playwright() as playwright,
        browsing(playwright, tmp_path) as context,
    ):
        bench, trace = Workbench(context, vscode.code), vscode.trace
        bench.open("store.py")
        bench.press("Control+End")
        bench.keep_ghosts()
        bench.type("        s")
        wait_until(lambda: trace.count("better") == 1)
        # VS Code repeats the request, which the server answers without the engine
        wait_until(lambda: trace.count("answer", "offer") == 1)
        wait_until(lambda: len(bench.ghosts()) == 2)
        first, better = bench.ghosts()
        keep_picture(bench, "better")
        assert first != better
        bench.press("Tab")
        bench.press("Escape")
        assert bench.save("store.py").startswith(CLASS + "        s" + better)
