"""Ghost text in a real VS Code, with the real server and an included model: `make e2e`."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from benchmarks import edits
from tests.support.workbench.driver import CodeServer, Workbench
from tests.support.workbench.started import CLASS, Started, browsing, keep_picture, started
from tests.support.workbench.traced import ROOT, Trace, engines, wait_until

RESULT = ROOT / os.environ.get("WARMLINE_LATENCY", ".work/latency.json")
N_TIMED = 60  # keystrokes
LINE = "zebra_area = measure_zebra(width, height)\n"
FILES = {
    "accept.py": CLASS,
    "word.py": LINE * 4,
    "through.py": LINE * 4,
    "above.py": LINE * 4,
    "killed.py": LINE * 4,
    "off.py": LINE * 4,
    "latency.py": CLASS,
    "first.py": LINE * 4,
    "second.py": LINE * 4,
    ".env": "TOKEN=1\n",
}


@pytest.fixture(scope="module")
def vscode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with started(tmp_path_factory.mktemp("vscode"), FILES) as found:
        yield found


@pytest.fixture(scope="module")
def trace(vscode: Started) -> Trace:
    return vscode.trace


@pytest.fixture(scope="module")
def server(vscode: Started) -> CodeServer:
    return vscode.code


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with (
        sync_playwright() as playwright,
        browsing(playwright, tmp_path_factory.mktemp("browser")) as context,
    ):
        yield context


@pytest.fixture(scope="module")
def window(browser: Any, server: CodeServer) -> Iterator[Workbench]:
    bench = Workbench(browser, server)
    bench.open("accept.py")
    yield bench
    bench.close()


@pytest.fixture
def workbench(window: Workbench, request: pytest.FixtureRequest) -> Iterator[Workbench]:
    """The shared window; saves a screenshot after each test."""
    yield window
    keep_picture(window, request.node.name)


def _ask(workbench: Workbench, file: str, text: str) -> str:
    """Types a text at the end of a file and returns the ghost text after it."""
    workbench.show(file)
    workbench.press("Control+End")
    workbench.type(text)
    return workbench.ghost()


def test_typing_gives_ghost_text_and_tab_accepts_it(workbench: Workbench) -> None:
    ghost = _ask(workbench, "accept.py", "        with open(self.")
    assert ghost.strip()
    keep_picture(workbench, "ghost-text")
    workbench.press("Tab")
    workbench.press("Escape")
    saved = workbench.save("accept.py")
    assert saved.startswith(CLASS + "        with open(self." + ghost.split("\n")[0])
    assert workbench.hosts <= {"127.0.0.1", None}


def test_a_word_is_accepted(workbench: Workbench) -> None:
    ghost = _ask(workbench, "word.py", "zebra_area = mea")
    assert ghost.strip()
    workbench.press("Control+ArrowRight")
    workbench.press("Escape")
    added = workbench.save("word.py").removeprefix(FILES["word.py"] + "zebra_area = mea")
    assert added
    assert ghost.startswith(added)


def test_typing_the_suggestion_requests_nothing_from_the_engine(
    workbench: Workbench, trace: Trace
) -> None:
    ghost = _ask(workbench, "through.py", "zebra_area = mea")
    n_asked, n_kept = trace.count("engine.complete"), trace.count("answer", "offer")
    n_typed = min(4, len(ghost.split("\n")[0]) - 1)
    assert n_typed > 0
    for k in range(n_typed):
        workbench.type(ghost[k])
        workbench.wait_for_ghost(ghost[k + 1 :])
    wait_until(lambda: trace.count("answer", "offer") > n_kept)
    assert trace.count("engine.complete") == n_asked
    workbench.press("Escape")


def test_a_suggestion_reflects_an_edit_above(workbench: Workbench, trace: Trace) -> None:
    # ends at a token boundary, so that only the edit changes the completion
    before = _ask(workbench, "above.py", "zebra_area = measure")
    assert before.startswith("_zebra(width, height)")
    workbench.press("Escape")
    workbench.press("Control+Home")
    # replace the function's name in each line
    for _ in range(4):
        workbench.press("End")
        for _ in range(len("zebra(width, height)")):
            workbench.press("Backspace")
        workbench.type("lion(depth)")
        workbench.press("Escape")
        workbench.press("ArrowDown")
    n_asked = trace.count("engine.complete")
    workbench.press("Control+End")
    workbench.type("_")
    after = workbench.ghost()
    assert trace.count("engine.complete") > n_asked
    assert after.startswith("lion(depth)")


def test_a_killed_engine_comes_back(workbench: Workbench, server: CodeServer) -> None:
    assert _ask(workbench, "killed.py", "zebra_area = mea")
    workbench.press("Escape")
    killed = engines(server.run)
    assert len(killed) == 1
    os.kill(killed[0], signal.SIGKILL)
    wait_until(lambda: engines(server.run) not in ([], killed))
    workbench.wait_for_status("Warmline")
    workbench.type("s")
    assert workbench.ghost()
    workbench.press("Escape")


def test_a_language_is_turned_off_and_on(workbench: Workbench, trace: Trace) -> None:
    toggle = "Warmline: Turn completions on or off for this language"
    workbench.show("off.py")
    workbench.command(toggle)
    workbench.wait_for_status("Warmline off")
    n_asked = trace.n_engine_requests()
    workbench.press("Control+End")
    workbench.type("zebra_area = mea")
    assert workbench.save("off.py") == FILES["off.py"] + "zebra_area = mea"
    assert not workbench.has_ghost()
    assert trace.n_engine_requests() == n_asked
    workbench.command(toggle)
    workbench.wait_for_status("Warmline")
    workbench.type("s")
    assert workbench.ghost()
    workbench.press("Escape")


def test_an_excluded_file_requests_nothing(workbench: Workbench, trace: Trace) -> None:
    workbench.show(".env")
    workbench.wait_for_status("Warmline file excluded")
    n_asked = trace.n_engine_requests()
    workbench.press("Control+End")
    workbench.type("SECRET=2")
    assert workbench.save(".env") == FILES[".env"] + "SECRET=2"
    assert not workbench.has_ghost()
    assert trace.n_engine_requests() == n_asked


def test_models_are_shown_with_size_and_licence(workbench: Workbench) -> None:
    workbench.show("accept.py")
    workbench.command("Warmline: Choose a model")
    row = ".quick-input-list .monaco-list-row"
    workbench.page.wait_for_selector(f'{row}:has-text("base"):has-text("included, in use")')
    found = workbench.page.locator(f'{row}:has-text("Qwen/Qwen2.5-Coder-3B")').first.text_content()
    assert found is not None
    assert "6.2 GB" in found
    assert "not for commercial use" in found
    keep_picture(workbench, "models")
    workbench.press("Escape")


def test_a_closed_window_leaves_the_other_served(
    workbench: Workbench, browser: Any, server: CodeServer, trace: Trace
) -> None:
    other = Workbench(browser, server)
    other.open("second.py")
    assert _ask(other, "second.py", "zebra_area = mea")
    assert _ask(workbench, "first.py", "zebra_area = mea")
    answers = [e for e in trace.events() if e["event"] == "answer"]
    server_of_first, server_of_second = (
        next(e["server"] for e in reversed(answers) if e["uri"].endswith(name))
        for name in ("/first.py", "/second.py")
    )
    assert server_of_first != server_of_second
    shared = engines(server.run)
    assert len(shared) == 1
    other.close()
    workbench.press("Escape")
    workbench.type("s")
    assert workbench.ghost()
    assert engines(server.run) == shared
    workbench.press("Escape")


def test_latency_is_recorded(workbench: Workbench) -> None:
    """Asserts no limit, because the latency depends on the machine."""
    workbench.show("latency.py")
    workbench.press("Control+End")
    elapsed: list[float] = []
    for k in range(N_TIMED):
        workbench.press("Escape")
        workbench.type(f"        self.item{k} = json.load")
        workbench.press("Escape")
        elapsed.append(workbench.time_to_ghost("("))
        # accept, so that the lines above are examples for the next line
        workbench.press("Tab")
        workbench.press("Escape")
        workbench.press("End")
        workbench.press("Enter")
    shares = {f"p{p}_ms": round(float(np.percentile(elapsed, p)), 1) for p in (50, 95)}
    found = {
        "machine": edits.machine(),
        "commit": edits.commit(),
        **shares,
        "keystrokes": len(elapsed),
        "load": round(os.getloadavg()[0], 2),
    }
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\nkeystroke to ghost text: {found}")
    assert len(elapsed) == N_TIMED
