"""Cycling through alternatives and accepting a line with VS Code's own commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.support.workbench.driver import ACCEPT_LINE, SHOW_NEXT, TRIGGER, Workbench
from tests.support.workbench.started import CLASS, Started, browsing, keep_picture, started
from tests.support.workbench.traced import wait_until

N_ALTERNATIVES = 3
SHAPES = """def area(width, height):
    if width < 0:
        raise ValueError("width")
    if height < 0:
        raise ValueError("height")
    return width * height


def volume(width, height, depth):
"""
FILES = {"store.py": CLASS, "shapes.py": SHAPES}


@pytest.fixture(scope="module")
def vscode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with started(
        tmp_path_factory.mktemp("alternatives"), FILES, alternatives=N_ALTERNATIVES
    ) as found:
        yield found


@pytest.fixture
def workbench(
    vscode: Started, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Workbench]:
    with sync_playwright() as playwright, browsing(playwright, tmp_path) as context:
        bench = Workbench(context, vscode.code)
        bench.open("store.py")
        yield bench
        keep_picture(bench, request.node.name)
        bench.close()


def test_the_shown_alternative_is_accepted(workbench: Workbench, vscode: Started) -> None:
    workbench.press("Control+End")
    workbench.type("        self")
    workbench.ghost()
    workbench.press(TRIGGER)
    wait_until(lambda: any(e.get("items", 0) > 1 for e in vscode.trace.events()))
    shown = [workbench.ghost()]
    # the first may not be among the alternatives
    while len(shown) <= N_ALTERNATIVES + 1 and shown[-1] not in shown[:-1]:
        workbench.press(SHOW_NEXT)
        workbench.wait_for_other_ghost(shown[-1])
        shown.append(workbench.ghost())
    assert len(shown) > 2, shown
    assert shown[-1] in shown[:-1], "the last is followed by the first"
    workbench.press("Tab")
    workbench.press("Escape")
    assert workbench.save("store.py").startswith(CLASS + "        self" + shown[-1].split("\n")[0])


def test_one_line_of_several_is_accepted(workbench: Workbench) -> None:
    workbench.show("shapes.py")
    workbench.press("Control+End")
    workbench.type("    ")
    workbench.wait_for_ghost_like("\\n")
    ghost = workbench.ghost()
    workbench.press(ACCEPT_LINE)
    workbench.press("Escape")
    added = workbench.save("shapes.py").removeprefix(SHAPES + "    ")
    assert added.strip()
    assert ghost.startswith(added.rstrip())
    assert "\n" not in added.rstrip()
