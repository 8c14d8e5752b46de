"""Keys, commands and options, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.neovim import neovim, wait

SETUP = 'require("warmline").setup({ filetypes = { "none" } })\n'
# a fake of ghost text that a server sent
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


def test_tab_is_a_tab_if_nothing_is_shown(nvim: Any) -> None:
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
def test_an_earlier_mapping_has_the_key_if_nothing_is_shown(nvim: Any, init: str) -> None:
    (expected,) = [text for given, text in EARLIER.values() if given == init]
    typed(nvim, "ia<Tab>b", f"a{expected}b")
    # a second setup does not save Warmline's own mapping
    nvim.exec_lua(SETUP)
    typed(nvim, "<Tab>c", f"a{expected}b{expected}c")
    nvim.exec_lua(SHOWN)
    typed(nvim, "<Tab>", f"a{expected}b{expected}c<all>")


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
def test_an_unknown_action_is_refused_by_name(nvim: Any, name: str) -> None:
    nvim.exec_lua("vim.notify = function(text) message = text end")
    nvim.command(f"Warmline {name}")
    message = nvim.exec_lua("return message")
    expected = f"Warmline: unknown action {name}; expected one of enable, disable"
    assert message.startswith(expected)


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
def test_wrong_options_are_refused(nvim: Any, options: str, words: str) -> None:
    call = f"return {{ pcall(require('warmline').setup, {options}) }}"
    is_accepted, *problem = nvim.exec_lua(call)
    assert is_accepted == (not words)
    assert words in "".join(map(str, problem))
    assert "deprecated" not in nvim.command_output("messages")


def test_a_comment_is_requested_only_in_its_buffer(nvim: Any) -> None:
    nvim.exec_lua(
        "n_requests = 0\n"
        "require('warmline')._request_comment = function() n_requests = n_requests + 1 end\n"
        "vim.bo.modifiable = false\n"
        "vim.notify = function(text) message = text end\n"
    )
    nvim.command("WarmlineComment")
    assert nvim.exec_lua("return message") == "Warmline: this buffer is read-only"
    nvim.exec_lua("vim.bo.modifiable = true")
    # insert mode is not entered in this buffer, and then in another one
    nvim.exec_lua("require('warmline').comment() vim.cmd.stopinsert()")
    nvim.command("hide enew")
    typed(nvim, "ix", "x")
    assert nvim.exec_lua("return n_requests") == 0
    nvim.input("<Esc>")
    nvim.command("WarmlineComment")
    wait(lambda: nvim.exec_lua("return n_requests") == 1)


# a fake server that answers only the next request
ANSWERS = """
local warmline, compat = require("warmline"), require("warmline.compat")
warmline.client = function() return { initialized = true, offset_encoding = "utf-16" } end
compat.cancel = function() end
compat.notify = function() end
compat.request = function(_, method, _, handler)
  local items = answer and { { insertText = answer } } or {}
  answer = nil
  vim.schedule(function() handler(nil, { items = items }) end)
  return true, 1
end
"""


def shown(nvim: Any, text: str, keys: str) -> None:
    """Types keys; the request of the last one is answered with a text."""
    nvim.exec_lua(ANSWERS)
    nvim.input(keys[:-1])
    wait(lambda: nvim.current.line.endswith(keys[:-1].lstrip("i")))
    nvim.exec_lua("answer = ...", text)
    nvim.input(keys[-1])
    wait(lambda: nvim.exec_lua("return require('warmline.ghost').text()"))


def test_undo_removes_only_the_accepted_text(nvim: Any) -> None:
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
def test_undo_removes_an_accepted_part(nvim: Any, part: str) -> None:
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
    ids=["indents", "starts without white space", "after text"],
)
def test_tab_indents_before_the_text_of_a_line(nvim: Any, text: str, keys: str, line: str) -> None:
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


def test_a_native_completion_is_accepted_as_one_undo_step(nvim: Any) -> None:
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
