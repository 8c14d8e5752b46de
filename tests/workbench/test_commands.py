"""The extension's commands and menu in a real VS Code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.support.workbench.driver import Workbench
from tests.support.workbench.started import Started, browsing, keep_picture, started
from tests.support.workbench.traced import engines

COMMENT_FIRST = "Warmline: Write a comment, then the code"
SHOW_CONTEXT = "Warmline: Show what the model sees"
SHOW_STATISTICS = "Warmline: Show statistics"
ENTRIES = (
    "Turn off for python",
    "Complete only when I ask",
    "Choose a model",
    "Restart the engine",
    "Show statistics",
    "Copy debug information",
    "Reinstall the extension's environment",
    "Open the walkthrough",
)
STORE = """import json


class Store:
    def load(self):
        # read the file
        with open(self.path) as file:
            self.items = json.load(file)

    def reload(self):
        """
FILES = {
    "store.py": STORE,
    "shapes.py": "def area(side):\n    return side * side\n",
    "snoozed.py": "from shapes import area\n\n\nx = ",
    "use.py": "from shapes import area\n\n\nx = ",
    # must have no effect: the engine would get the text of the workspace
    ".vscode/settings.json": '{"warmline.remoteEngine": "127.0.0.1:1"}\n',
}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def vscode(run_folder: Path) -> Iterator[Started]:
    with started(run_folder, FILES) as found:
        yield found


@pytest.fixture(scope="module")
def window(run_folder: Path, vscode: Started) -> Iterator[Workbench]:
    with sync_playwright() as playwright, browsing(playwright, run_folder) as context:
        bench = Workbench(context, vscode.code)
        bench.open("store.py")
        yield bench


@pytest.fixture
def workbench(window: Workbench, request: pytest.FixtureRequest) -> Iterator[Workbench]:
    yield window
    keep_picture(window, request.node.name)


def test_a_comment_and_the_code_after_it_are_accepted(workbench: Workbench) -> None:
    workbench.show("store.py")
    workbench.press("Control+End")
    workbench.command(COMMENT_FIRST)
    workbench.wait_for_ghost_like(r"^# \w.*\n\s+\w")
    ghost = workbench.ghost()
    workbench.press("Tab")
    workbench.press("Escape")
    saved = workbench.save("store.py")
    assert saved.startswith(STORE + ghost.split("\n")[0])
    compile(saved.removesuffix("\n"), "store.py", "exec")


def test_what_the_model_sees_is_shown(workbench: Workbench) -> None:
    workbench.show("use.py")
    workbench.press("Control+End")
    workbench.type("a")
    assert workbench.ghost()
    workbench.press("Escape")
    workbench.command(SHOW_CONTEXT)
    lines = workbench.page.locator(".editor-instance").nth(1).locator(".view-lines")
    lines.get_by_text("What the model sees in").wait_for()
    lines.get_by_text("## shapes.py:1").wait_for()
    shown = lines.inner_text().replace("\u00a0", " ")
    assert "## shapes.py:1 `area`" in shown
    assert "return side * side" in shown
    # VS Code must not ask the user to save the page
    assert workbench.page.locator('.tab[data-resource-name="What the model sees.md"]').count() == 1
    assert workbench.page.locator(".tab.dirty:not([data-resource-name='use.py'])").count() == 0


def test_statistics_are_a_read_only_page(workbench: Workbench) -> None:
    workbench.show("store.py")
    workbench.command(SHOW_STATISTICS)
    tab = '.tab.active[data-resource-name="Warmline statistics.md"]'
    workbench.page.wait_for_selector(tab)
    lines = workbench.page.locator(".editor-instance .view-lines").first
    lines.get_by_text("## Completions").wait_for()
    before = lines.inner_text()
    assert "Acceptance rate" in before.replace("\u00a0", " ")
    assert "acceptedShare" not in before
    lines.click()
    workbench.type("x")
    assert lines.inner_text() == before
    assert workbench.page.locator(f"{tab}.dirty").count() == 0
    workbench.press("Escape")


def test_the_menu_starts_and_ends_a_snooze(workbench: Workbench, vscode: Started) -> None:
    workbench.show("snoozed.py")
    workbench.wait_for_status("Warmline")
    workbench.open_menu()
    keep_picture(workbench, "menu")
    for label in ENTRIES:
        assert workbench.entry(label).count() == 1, label
    workbench.entry("Snooze for 5 minutes").click()
    workbench.wait_for_status("Warmline snoozed")
    n_asked = vscode.trace.count("engine.complete")
    workbench.press("Control+End")
    workbench.type("a")
    assert workbench.save("snoozed.py") == FILES["snoozed.py"] + "a"
    assert not workbench.has_ghost()
    assert vscode.trace.count("engine.complete") == n_asked
    workbench.open_menu()
    workbench.entry("End snooze").click()
    workbench.wait_for_status("Warmline")
    workbench.press("Control+End")
    workbench.type("r")
    assert workbench.ghost()
    workbench.press("Escape")


def test_a_workspace_may_not_choose_the_engine(workbench: Workbench, vscode: Started) -> None:
    workbench.show("store.py")
    workbench.wait_for_status("Warmline")
    assert len(engines(vscode.code.run)) == 1


def test_the_walkthrough_shows_its_pages_and_that_the_server_is_ready(workbench: Workbench) -> None:
    workbench.show("store.py")
    workbench.wait_for_status("Warmline")
    workbench.command("Warmline: Open the walkthrough")
    step = workbench.page.locator('.getting-started-step:has-text("Install the server")')
    step.locator(".codicon.complete").wait_for()
    failed = workbench.page.locator('.notification-list-item-message:has-text("Error reading")')
    for title in ("Choose a model", "Adjust it", "Type"):
        chosen = workbench.page.locator(f'.getting-started-step:has-text("{title}")').first
        chosen.click()
        workbench.page.wait_for_selector(f'.getting-started-step.expanded:has-text("{title}")')
    workbench.page.locator(".getting-started-media img").wait_for(state="attached")
    assert failed.count() == 0
