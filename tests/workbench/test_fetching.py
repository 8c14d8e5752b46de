"""Downloading a model from the list: a broken connection is reported, and a retry completes."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support.fake_hub import serving
from tests.support.workbench.driver import Workbench
from tests.support.workbench.started import browsing, keep_picture, started
from tests.support.workbench.traced import ROOT, wait_until

MODEL = "Qwen/Qwen2.5-Coder-0.5B"
LINE = "zebra_area = measure_zebra(width, height)\n"


def _choose(bench: Workbench) -> None:
    bench.command("Warmline: Choose a model")
    bench.entry(MODEL).click()
    dialog = bench.page.locator(".monaco-dialog-box")
    dialog.get_by_text(f"Download {MODEL} from Hugging Face?").wait_for()
    assert "Apache-2.0" in dialog.inner_text()
    keep_picture(bench, "fetch-asked")
    dialog.locator('a.monaco-button:text-is("Download")').click()


def test_a_model_is_downloaded(tmp_path: Path) -> None:
    # a small model under the name of a large one
    files = ROOT / "engine/warmline_engine/models/base"
    with (
        serving(files, MODEL, cut="model.safetensors") as hub,
        started(tmp_path, {"first.py": LINE * 4}, {"HF_ENDPOINT": hub.address}) as vscode,
        sync_playwright() as playwright,
        browsing(playwright, tmp_path) as context,
    ):
        bench = Workbench(context, vscode.code)
        bench.open("first.py")
        hub.n_cuts = 100
        _choose(bench)
        bench.wait_for_notification("check the connection and the id, or give a folder")
        keep_picture(bench, "fetch-broken")
        bench.command("Notifications: Clear All Notifications")
        hub.n_cuts, hub.s_per_mebibyte = 0, 0.5
        _choose(bench)
        bench.wait_for_notification("% of the file")
        keep_picture(bench, "fetching")
        menu = bench.page.locator('.statusbar-item:has-text("Warmline")')
        wait_until(lambda: MODEL in (menu.first.get_attribute("aria-label") or ""))
        bench.wait_for_status("Warmline")
        bench.press("Control+End")
        bench.type("zebra_area = mea")
        assert bench.ghost().strip()
