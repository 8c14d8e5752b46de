"""The settings of an untrusted workspace choose no program and no model."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support.workbench.driver import Workbench
from tests.support.workbench.started import browsing, keep_picture, started
from tests.support.workbench.traced import wait_until

LINE = "zebra_area = measure_zebra(width, height)\n"


def test_a_workspace_chooses_the_command_only_if_trusted(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    workspace_command = tmp_path / "workspace_command"
    workspace_command.write_text(f"#!/bin/sh\ntouch '{ran}'\nexit 1\n")
    workspace_command.chmod(0o755)
    chosen = {
        "warmline.command": str(workspace_command),
        "warmline.model": str(tmp_path / "no-model"),
    }
    files = {"first.py": LINE * 4, ".vscode/settings.json": json.dumps(chosen)}
    with (
        started(tmp_path, files, is_trusted=False) as vscode,
        sync_playwright() as playwright,
        browsing(playwright, tmp_path) as context,
    ):
        bench = Workbench(context, vscode.code)
        # the user's command and the default model
        bench.open("first.py")
        bench.press("Control+End")
        bench.type("zebra_area = mea")
        assert bench.ghost().strip()
        bench.press("Escape")
        keep_picture(bench, "untrusted")
        assert not ran.exists()
        bench.trust()
        wait_until(ran.exists)
        bench.wait_for_status("Warmline error")
        keep_picture(bench, "trusted")
