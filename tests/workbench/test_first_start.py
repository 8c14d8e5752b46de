"""The first start with only Python and the extension: one question, no terminal, ghost text."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support.workbench.driver import CodeServer, Workbench, launch
from tests.support.workbench.started import keep_picture
from tests.support.workbench.traced import ROOT

INSTALL_TIMEOUT_S = 1200
LINE = "zebra_area = measure_zebra(width, height)\n"


def test_first_start(tmp_path: Path) -> None:
    settings = {"warmline.idleExitMinutes": 0.1}
    server = CodeServer(tmp_path / "code", ROOT / "editors/vscode/warmline.vsix", settings)
    (server.workspace / "first.py").write_text(LINE * 4)
    try:
        with sync_playwright() as playwright:
            context = launch(playwright, tmp_path / "profile")
            bench = Workbench(context, server)
            bench.open("first.py", "Warmline not installed")
            bench.answer("Install")
            bench.wait_for_status("Warmline installing")
            keep_picture(bench, "installing")
            bench.wait_for_status("Warmline", INSTALL_TIMEOUT_S)
            bench.press("Control+End")
            bench.type("zebra_area = mea")
            assert bench.ghost().strip()
            keep_picture(bench, "first-start")
            context.close()
    finally:
        server.stop()
