"""All windows share one engine, which stays when the window that started it is closed."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support.workbench.driver import Workbench
from tests.support.workbench.started import browsing, keep_picture, started
from tests.support.workbench.traced import Trace, engines, wait_until

LINE = "zebra_area = measure_zebra(width, height)\n"
FILES = {"first.py": LINE * 4, "second.py": LINE * 4}


def _server_of(trace: Trace, name: str) -> int:
    """The process of the server that answered last for a file."""
    answers = [event for event in trace.events() if event["event"] == "answer"]
    return next(e["server"] for e in reversed(answers) if e["uri"].endswith(f"/{name}"))


def test_the_engine_stays_when_the_window_that_started_it_closes(tmp_path: Path) -> None:
    with (
        started(tmp_path, FILES) as vscode,
        sync_playwright() as playwright,
        browsing(playwright, tmp_path) as context,
    ):
        first = Workbench(context, vscode.code)
        first.open("first.py")
        first.press("Control+End")
        first.type("zebra_area = mea")
        assert first.ghost()
        shared = engines(vscode.code.run)
        assert len(shared) == 1
        second = Workbench(context, vscode.code)
        second.open("second.py")
        second.press("Control+End")
        second.type("zebra_area = mea")
        assert second.ghost()
        assert engines(vscode.code.run) == shared
        starter = _server_of(vscode.trace, "first.py")
        assert starter != _server_of(vscode.trace, "second.py")
        first.leave()
        wait_until(lambda: not Path(f"/proc/{starter}").exists())
        second.press("Escape")
        second.type("s")
        assert second.ghost()
        assert engines(vscode.code.run) == shared
        keep_picture(second, "first-window-left")
