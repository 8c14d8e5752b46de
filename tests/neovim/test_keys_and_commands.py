"""What needs no server: keys that keep their meaning, commands and options that are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.neovim import neovim, wait

SETUP = 'require("warmline").setup({ filetypes = { "none" } })\n'
# it stands in for text that a server sent
SHOWN = """
local ghost = require("warmline.ghost")
ghost.is_shown = function() return true end
ghost.accept = function(part)
  vim.api.nvim_put({ "<" .. part .. ">" }, "c", false, true)
  return true
end
"""


@pytest.fixture
def init() -> str:
    """What is in the user's init file before the plugin's setup."""
    return ""


@pytest.fixture
def nvim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, init: str) -> Iterator[Any]:
    with neovim(tmp_path, monkeypatch, init + SETUP) as nvim:
        yield nvim


def typed(nvim: Any, keys: str, line: str) -> None:
    """Types, and waits for a line."""
    nvim.input(keys)
    wait(lambda: nvim.current.line == line)


def test_tab_is_a_tab_where_nothing_is_shown(nvim: Any) -> None:
    typed(nvim, "ia<Tab>b", "a\tb")
    nvim.exec_lua(SHOWN)
    typed(nvim, "<Tab>", "a\tb<all>")


EARLIER = {
    "an expression that gives the key": (
        "vim.keymap.set('i', '<Tab>', function() return n and '<Tab>' or 'mine' end, { expr = true, remap = true })\n",
        "mine",
    ),
    "a function": (
        "vim.keymap.set('i', '<Tab>', function() vim.api.nvim_put({'mine'}, 'c', false, true) end)\n", "mine",
    ),
    "keys": ("vim.cmd([[inoremap <Tab> mine]])\n", "mine"),
    "another mapping": ("vim.cmd([[imap <Tab> <Plug>(x)]]) vim.cmd([[inoremap <Plug>(x) mine]])\n", "mine"),
    "the key itself, mapped on": ("vim.cmd([[imap <expr> <Tab> '<Tab>']])\n", "\t"),
}  # fmt: skip


@pytest.mark.parametrize("init", [init for init, _ in EARLIER.values()], ids=list(EARLIER))
def test_an_earlier_mapping_has_the_key_where_nothing_is_shown(nvim: Any, init: str) -> None:
    (meant,) = [meant for given, meant in EARLIER.values() if given == init]
    typed(nvim, "ia<Tab>b", f"a{meant}b")
    # a second setup takes its own mapping for nobody's
    nvim.exec_lua(SETUP)
    typed(nvim, "<Tab>c", f"a{meant}b{meant}c")
    nvim.exec_lua(SHOWN)
    typed(nvim, "<Tab>", f"a{meant}b{meant}c<all>")


def test_an_open_menu_has_the_key(nvim: Any) -> None:
    nvim.exec_lua(SHOWN)
    nvim.exec_lua(
        "vim.keymap.set('i', '<F2>', function() vim.fn.complete(1, { 'one', 'two' }) end)"
    )
    nvim.input("i<F2>")
    wait(nvim.funcs.pumvisible)
    typed(nvim, "<Tab>", "one\t")
    assert "<all>" not in "".join(nvim.current.buffer[:])


@pytest.mark.parametrize("name", ["nonsense", "setup", "client", "_ask"])
def test_a_command_that_is_none_is_refused_by_name(nvim: Any, name: str) -> None:
    nvim.exec_lua("vim.notify = function(text) told = text end")
    nvim.command(f"Warmline {name}")
    reported = nvim.exec_lua("return told")
    assert reported.startswith(f"Warmline: {name} is unknown; there are enable, disable")


def test_each_name_that_is_completed_is_an_action(nvim: Any) -> None:
    names = nvim.funcs.getcompletion("Warmline ", "cmdline")
    assert "statistics" in names
    assert nvim.funcs.getcompletion("Warmline st", "cmdline") == ["statistics", "status"]
    for name in names:
        kind = nvim.exec_lua("return type(require('warmline')[...])", name)
        assert kind == "function"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("7", "expected a table, got number"),
        ("{ filetype = {} }", "option 'filetype' is unknown"),
        ("{ filetypes = {}, keys = {}, native = false }", ""),
        ("nil", ""),
    ],
)
def test_options_that_are_none_are_refused(nvim: Any, options: str, words: str) -> None:
    call = f"return {{ pcall(require('warmline').setup, {options}) }}"
    is_taken, *problem = nvim.exec_lua(call)
    assert is_taken == (not words)
    assert words in "".join(map(str, problem))
    assert "deprecated" not in nvim.command_output("messages")


def test_a_comment_is_asked_for_in_the_text_it_was_wanted_in(nvim: Any) -> None:
    nvim.exec_lua(
        "asked = 0\n"
        "require('warmline')._ask_comment = function() asked = asked + 1 end\n"
        "vim.bo.modifiable = false\n"
        "vim.notify = function(text) told = text end\n"
    )
    nvim.command("WarmlineComment")
    assert nvim.exec_lua("return told") == "Warmline: this buffer is read-only"
    nvim.exec_lua("vim.bo.modifiable = true")
    # insert mode is not entered after all, and then in another text
    nvim.exec_lua("require('warmline').comment() vim.cmd.stopinsert()")
    nvim.command("hide enew")
    typed(nvim, "ix", "x")
    assert nvim.exec_lua("return asked") == 0
    nvim.input("<Esc>")
    nvim.command("WarmlineComment")
    wait(lambda: nvim.exec_lua("return asked") == 1)


# it stands in for a server that gives one answer to the next request, and none later
ANSWERS = """
local warmline, compat = require("warmline"), require("warmline.compat")
warmline.client = function() return { initialized = true, offset_encoding = "utf-16" } end
compat.cancel = function() end
compat.notify = function() end
compat.request = function(_, method, _, take)
  local items = answer and { { insertText = answer } } or {}
  answer = nil
  vim.schedule(function() take(nil, { items = items }) end)
  return true, 1
end
"""


def shown(nvim: Any, text: str, keys: str) -> None:
    """Has a text answered to what the last of some keys asks."""
    nvim.exec_lua(ANSWERS)
    nvim.input(keys[:-1])
    wait(lambda: nvim.current.line.endswith(keys[:-1].lstrip("i")))
    nvim.exec_lua("answer = ...", text)
    nvim.input(keys[-1])
    wait(lambda: nvim.exec_lua("return require('warmline.ghost').text()"))


def test_undo_takes_back_what_was_accepted_only(nvim: Any) -> None:
    shown(nvim, "(name)\nb = 1", "igreet")
    nvim.input("<Tab>")
    wait(lambda: nvim.current.buffer[:] == ["greet(name)", "b = 1"])
    nvim.input("!")
    wait(lambda: nvim.current.line == "b = 1!")
    nvim.input("<Esc>u")
    wait(lambda: nvim.current.buffer[:] == ["greet(name)", "b = 1"])
    nvim.input("u")
    wait(lambda: nvim.current.buffer[:] == ["greet"])
    nvim.input("<C-r>")
    wait(lambda: nvim.current.buffer[:] == ["greet(name)", "b = 1"])


@pytest.mark.parametrize("part", ["<M-Right>", "<M-Down>"])
def test_undo_takes_back_a_part_that_was_accepted(nvim: Any, part: str) -> None:
    shown(nvim, "_all", "igreet")
    nvim.input(part)
    wait(lambda: nvim.current.line == "greet_all")
    nvim.input("<Esc>u")
    wait(lambda: nvim.current.line == "greet")


@pytest.mark.parametrize(
    ("text", "keys", "line"),
    [
        ("    return", "i ", " \t"),
        ("return", "i ", " return"),
        ("    return", "ix", "x    return"),
    ],
    ids=["indents", "begins with no white space", "behind text"],
)
def test_tab_indents_where_it_is_meant_to(nvim: Any, text: str, keys: str, line: str) -> None:
    shown(nvim, text, keys)
    typed(nvim, "<Tab>", line)


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("fileformat", ["dos", "mac", "unix"])
def test_a_buffer_gets_no_carriage_returns(nvim: Any, end: str, fileformat: str) -> None:
    nvim.command(f"set fileformat={fileformat}")
    shown(nvim, f"a{end}b{end}", "ix")
    assert nvim.exec_lua("return require('warmline.ghost').text()") == "a\nb\n"
    nvim.input("<M-Down>")
    wait(lambda: nvim.current.line == "xa")
    shown_again = nvim.current.buffer[:]
    assert not any("\r" in text for text in shown_again)
    nvim.exec_lua("require('warmline.ghost').insert(0, 0, 2, ...)", f"c{end}d")
    assert nvim.current.buffer[:] == ["xac", "d"]


def test_what_neovim_shows_by_itself_is_accepted_as_one_undo_step(nvim: Any) -> None:
    nvim.exec_lua(
        "vim.lsp.inline_completion = { get = function()\n"
        "  vim.schedule(function() require('warmline.ghost').insert(0, 0, 1, 'bc') end)\n"
        "  return true\n"
        "end }\n"
        "require('warmline').options.native = true\n"
        "require('warmline.keys').map(require('warmline').options.keys)\n"
    )
    typed(nvim, "ia<Tab>", "abc")
    nvim.input("<Esc>u")
    wait(lambda: nvim.current.line == "a")
