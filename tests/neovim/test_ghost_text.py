"""The plugin in a real Neovim, the installed server and an embedded model behind it: `make e2e-neovim`."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.neovim import BIN, neovim, wait

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
TYPED = "        with open(self."


@pytest.fixture
def settings() -> dict[str, Any]:
    """Settings of the server; a test may have others."""
    return {"model": os.environ.get("WARMLINE_MODEL", "small")}


@pytest.fixture
def nvim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> Iterator[Any]:
    in_force = json.dumps({"idleExitMinutes": 0.1, **settings})
    init = (
        f'require("warmline").setup({{ command = {{ "{BIN}/warmline", "lsp" }},'
        f" settings = vim.json.decode('{in_force}') }})\n"
    )
    file = tmp_path / "store.py"
    file.write_text(TEXT)
    with neovim(tmp_path, monkeypatch, init, str(file)) as nvim:
        nvim.command("set filetype=python expandtab noautoindent indentexpr=")
        wait(lambda: state(nvim) == "ready")
        yield nvim


def state(nvim: Any) -> str:
    return nvim.exec_lua("local s = require('warmline').last_status; return s and s.state or ''")


def ghost(nvim: Any) -> str:
    return nvim.exec_lua("return require('warmline.ghost').text() or ''")


def drawn(nvim: Any) -> str:
    """The text of the extmarks, as on the screen."""
    space = nvim.api.create_namespace("warmline")
    marks = nvim.api.buf_get_extmarks(0, space, 0, -1, {"details": True})
    lines = [m[3]["virt_text"][0][0] for m in marks]
    lines += [line[0][0] for m in marks for line in m[3].get("virt_lines", [])]
    return "\n".join(lines)


def test_ghost_text_is_drawn_and_tab_accepts_it(nvim: Any, tmp_path: Path) -> None:
    nvim.input("Go" + TYPED)
    text = wait(lambda: ghost(nvim))
    assert drawn(nvim) == text
    nvim.input("<Tab>")
    expected = TEXT + TYPED + text
    wait(lambda: "\n".join(nvim.current.buffer[:]).startswith(expected))
    nvim.input("<Esc>:w<CR>")
    wait(lambda: (tmp_path / "store.py").read_text() == expected + "\n")


def test_a_word_is_accepted_and_the_rest_stays(nvim: Any) -> None:
    nvim.input("Go" + TYPED)
    text = wait(lambda: ghost(nvim))
    word = nvim.exec_lua("return require('warmline.ghost').first_part(..., 'word')", text)
    assert word
    assert word != text
    nvim.input("<M-Right>")
    wait(lambda: nvim.current.line == TYPED + word)
    assert wait(lambda: ghost(nvim)) == text.removeprefix(word)


def test_typing_the_suggestion_keeps_it_and_requests_nothing_from_the_engine(nvim: Any) -> None:
    nvim.input("Go" + TYPED)
    text = wait(lambda: ghost(nvim))
    asked = counts(nvim)
    nvim.input(text[0])
    wait(lambda: nvim.current.line == TYPED + text[0])
    assert wait(lambda: ghost(nvim)) == text[1:]
    after = wait(lambda: (c := counts(nvim))["requests"] > asked["requests"] and c)
    assert after["answeredFromOffer"] > asked["answeredFromOffer"]
    assert after["offered"] == asked["offered"]
    assert drawn(nvim) == text[1:]


def counts(nvim: Any) -> dict[str, Any]:
    return nvim.exec_lua(
        "local c = require('warmline').client();"
        " return c:request_sync('warmline/statistics', vim.empty_dict(), 5000).result"
    )


def test_one_key_is_one_request(nvim: Any) -> None:
    nvim.input("Go" + TYPED)
    text = wait(lambda: ghost(nvim))
    before = counts(nvim)["requests"]
    for k in range(3):
        nvim.input(text[k])
        wait(lambda k=k: counts(nvim)["requests"] > before + k)
    # the server handles messages in order, so every earlier request is counted
    assert counts(nvim)["requests"] == before + 3


def test_statistics_are_shown_in_words(nvim: Any) -> None:
    nvim.exec_lua("vim.notify = function(text) message = text end")

    def statistics() -> list[str]:
        nvim.exec_lua("message = nil")
        nvim.command("Warmline statistics")
        return wait(lambda: nvim.exec_lua("return message")).split("\n")

    assert "Acceptance rate: not yet known" in statistics()
    assert statistics()[-1] == "No answers yet."
    nvim.input("Go" + TYPED)
    wait(lambda: ghost(nvim))
    nvim.input("<Tab>")
    wait(lambda: "Accepted in full: 1" in statistics())
    lines = statistics()
    assert [line for line in lines if line.startswith("Offered: ") and line != "Offered: 0"]
    assert "Acceptance rate: 100 %" in lines
    assert lines[-1].startswith("Response time: median ")
    assert not [line for line in lines if "vim.NIL" in line or "{" in line]


def test_off_for_a_language_names_its_setting(nvim: Any) -> None:
    nvim.exec_lua(
        "local warmline = require('warmline')\n"
        "warmline.options.settings.languages = { python = false }\n"
        "warmline.enable()\n"
    )
    wait(lambda: state(nvim) == "off")
    nvim.exec_lua("vim.notify = function(text) message = text end")
    nvim.command("Warmline status")
    message = nvim.exec_lua("return message")
    assert message == "Warmline: off. Completions are off for this language (warmline.languages)"


def test_a_completion_reflects_an_edit_above(nvim: Any) -> None:
    nvim.input("Go" + TYPED)
    wait(lambda: ghost(nvim))
    nvim.input("<Esc>")
    nvim.command("%s/path/place_on_disk/g")
    nvim.input("Gcc" + TYPED)
    assert "place_on_disk" in wait(lambda: ghost(nvim))


def test_a_killed_engine_comes_back(nvim: Any, tmp_path: Path) -> None:
    engine = wait(lambda: engine_of(tmp_path))
    os.kill(engine, signal.SIGKILL)
    wait(lambda: state(nvim) != "ready")
    wait(lambda: state(nvim) == "ready")
    nvim.input("Go" + TYPED)
    assert wait(lambda: ghost(nvim))


def engine_of(folder: Path) -> int | None:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if "warmline_engine.process.service" in line and str(folder) in line:
            return int(process.name)
    return None


def test_health_finds_server_and_engine(nvim: Any) -> None:
    nvim.command("checkhealth warmline")
    text = "\n".join(nvim.current.buffer[:])
    assert "ERROR" not in text
    assert "the server is running: ready" in text


def test_each_buffer_has_the_other_files_of_its_project(nvim: Any, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    (project / "shapes.py").write_text("def area(side):\n    return side * side\n")
    use = project / "use.py"
    use.write_text("from shapes import area\n\n\nx = \n")
    nvim.command(f"edit {use}")

    def names() -> list[str]:
        answer = nvim.exec_lua(
            "local client = require('warmline').client(0)\n"
            "if not client then return nil end\n"
            "local found = client:request_sync('warmline/context', { uri = vim.uri_from_bufnr(0) }, 5000, 0)\n"
            "return found and found.result\n"
        )
        return [item["name"] for item in answer["items"]] if isinstance(answer, dict) else []

    assert wait(names) == ["area"]


PAIR = {
    "model": "base",
    "smallModel": "small",
    "switching": "deadline",
    "switchWithinMs": 10,
    "showUnsure": True,
}


@pytest.mark.parametrize("settings", [PAIR], ids=["pair"])
def test_a_better_completion_replaces_the_first(nvim: Any) -> None:
    nvim.exec_lua(
        "local ghost = require('warmline.ghost')\n"
        "local request_better = ghost.request_better\n"
        "ghost.request_better = function(better)\n"
        "  first_text = ghost.text()\n"
        "  request_better(better)\n"
        "end\n"
    )
    nvim.input("Go        s")
    first = wait(lambda: nvim.exec_lua("return first_text"))
    better = wait(lambda: (text := ghost(nvim)) != first and text)
    assert drawn(nvim) == better
    nvim.input("<Tab>")
    wait(lambda: "\n".join(nvim.current.buffer[:]).startswith(TEXT + "        s" + better))


COMMENTED = """import json


class Store:
    def load(self):
        # read the file
        with open(self.path) as file:
            self.items = json.load(file)

    def reload(self):
        """
ON_REQUEST = {"model": "small", "mode": "onRequest", "showUnsure": True}


@pytest.mark.parametrize("settings", [ON_REQUEST], ids=["on-request"])
@pytest.mark.parametrize(
    "keys", ["G:WarmlineComment<CR>", "GA<Cmd>WarmlineComment<CR>"], ids=["normal", "insert"]
)
def test_a_comment_comes_first_and_then_the_code(nvim: Any, keys: str) -> None:
    nvim.current.buffer[:] = COMMENTED.split("\n")
    nvim.input(keys)
    text = wait(lambda: ghost(nvim))
    comment, code, *_ = text.split("\n")
    assert comment.startswith("# ")
    assert code.strip()
    nvim.input("<Tab>")
    wait(lambda: "\n".join(nvim.current.buffer[:]).startswith(COMMENTED + text))


# a fake of Neovim 0.12's module
NATIVE = """
vim.lsp.inline_completion = {
  get = function(options)
    if not shown_item then return false end
    vim.schedule(function() options.on_accept(shown_item) end)
    return true
  end,
}
require("warmline").options.native = true
require("warmline.ghost").dismiss()
vim.api.nvim_create_augroup("warmline", { clear = true })
require("warmline.keys").map(require("warmline").options.keys)
"""


@pytest.mark.parametrize("place", ["start_row = 0, start_col = 2", "start = { row = 0, col = 2 }"])
def test_parts_of_a_native_completion_are_accepted(nvim: Any, place: str) -> None:
    nvim.exec_lua(NATIVE)
    nvim.command("enew")
    nvim.exec_lua(f"shown_item = {{ insert_text = 'measure(a)\\nb = 1', range = {{ {place} }} }}")
    nvim.input("i  mea")
    nvim.input("<M-Right>")
    wait(lambda: nvim.current.line == "  measure")
    nvim.input("<M-Down>")
    wait(lambda: nvim.current.line == "  measure(a)")
    nvim.input("<M-Down>")
    wait(lambda: nvim.current.buffer[:] == ["  measure(a)", "b = 1"])
    nvim.exec_lua("shown_item = nil")
    nvim.input("<M-Right>.")
    wait(lambda: "." in "".join(nvim.current.buffer[:]))
    assert nvim.current.buffer[:] == ["  measure(a)", "b = 1."]
