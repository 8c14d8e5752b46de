"""A remote engine: the user enters its token and gets ghost text."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support.workbench.driver import Workbench
from tests.support.workbench.started import browsing, keep_picture, started
from tests.support.workbench.traced import ROOT, SOURCES, engines

TOKEN = "a token of this test alone"
LINE = "zebra_area = measure_zebra(width, height)\n"


@contextmanager
def listening() -> Iterator[int]:
    """Starts an engine that listens on a port; the port."""
    process = subprocess.Popen(
        [
            ROOT / ".venv/bin/python",
            "-m",
            "warmline_engine.process.service",
            "--listen",
            "127.0.0.1:0",
        ],
        env={**os.environ, "WARMLINE_TOKEN": TOKEN, "PYTHONPATH": os.pathsep.join(SOURCES)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        while "listening on" not in (line := process.stderr.readline()):
            assert line, "the engine ended"
        found = re.search(r"listening on \S+:(\d+),", line)
        assert found is not None
        yield int(found[1])
        assert process.poll() is None, "the engine was stopped"
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_ghost_text_comes_after_the_token_is_entered(tmp_path: Path) -> None:
    with (
        listening() as port,
        started(tmp_path, {"first.py": LINE * 4}, remoteEngine=f"127.0.0.1:{port}") as vscode,
        sync_playwright() as playwright,
        browsing(playwright, tmp_path) as context,
    ):
        bench = Workbench(context, vscode.code)
        bench.open("first.py", "Warmline error")
        bench.command("Warmline: Set the token of the remote engine")
        bench.page.locator('.quick-input-widget input[type="password"]').fill(TOKEN)
        keep_picture(bench, "token")
        bench.press("Enter")
        bench.wait_for_status("Warmline")
        bench.page.locator(".editor-instance .view-lines").first.click()
        bench.press("Control+End")
        bench.type("zebra_area = mea")
        assert bench.ghost().strip()
        keep_picture(bench, "remote")
        assert engines(vscode.code.run) == []
    for path in (tmp_path / "code").rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path
